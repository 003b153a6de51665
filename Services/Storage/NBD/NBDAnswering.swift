import BlockLayers
import Synchronization

/// A device that says when a change may be answered, once it is done. Asked after each change; both questions must be
/// quick.
public protocol NBDAnswering: BlockDevice {
  /// Whether each change is to be durable before it is answered, as if the client had asked for that (FUA).
  var isWriteThrough: Bool { get }

  /// Whether changes are not answered for now.
  var holdsAnswers: Bool { get }

  /// Runs `release` once, on any thread, when changes may be answered again; at once where they may already. Never, where
  /// the use of the device ends before.
  func whenAnswersGoOn(_ release: @escaping @Sendable () -> Void)
}

/// Answers of one connection that its device holds: they take no thread, so that what the client reads meanwhile is
/// answered.
final class NBDHeldAnswers: Sendable {
  private struct State {
    var cookies: [UInt64] = []
    /// Whether the device will tell when they go on.
    var isAwaited = false
    var hasEnded = false
  }

  private let connection: NBDConnection
  private let device: (any NBDAnswering)?
  private let limit: Int
  private let state = Mutex(State())

  init(_ connection: NBDConnection, _ device: any BlockDevice, limit: Int) {
    self.connection = connection
    self.device = device as? any NBDAnswering
    self.limit = limit
  }

  @inline(__always)
  var isWriteThrough: Bool { device?.isWriteThrough ?? false }

  @inline(__always)
  var mustHold: Bool { device?.holdsAnswers ?? false }

  /// Holds the answer to a change that was done. For it `NBDConnection.awaitWorker` was called. False when there are
  /// too many.
  func hold(_ cookie: UInt64) -> Bool {
    let (isTaken, asks) = state.withLock { state -> (Bool, Bool) in
      guard state.cookies.count < limit else { return (false, false) }
      state.cookies.append(cookie)
      defer { state.isAwaited = true }
      return (true, !state.isAwaited)
    }
    if asks { device?.whenAnswersGoOn { [self] in release() } }
    return isTaken
  }

  /// Sends them. Never waits for the client.
  private func release() {
    state.withLock { state in
      state.isAwaited = false
      // The connection's descriptor may be somebody else's already.
      guard !state.hasEnded else { return }
      for cookie in state.cookies { connection.answer(NBDAnswer.success(cookie)) }
      state.cookies = []
    }
  }

  /// Forgets them: the client asks again over another connection. Afterwards nothing is sent.
  func end() {
    state.withLock { state in
      state.hasEnded = true
      state.cookies = []
    }
  }
}
