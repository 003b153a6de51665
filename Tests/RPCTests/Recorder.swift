import RPC
import Synchronization

/// What a session sends, in order.
final class Recorder: RPCSessionOutput {
  private struct State {
    var messages: [String] = []
    var waiting: [CheckedContinuation<String, Never>] = []
  }

  private let state = Mutex(State())

  func send(_ message: [UInt8]) {
    let text = String(decoding: message, as: UTF8.self)
    let next = state.withLock { state -> CheckedContinuation<String, Never>? in
      guard state.waiting.isEmpty else { return state.waiting.removeFirst() }
      state.messages.append(text)
      return nil
    }
    next?.resume(returning: text)
  }

  func sendEvent(_ message: [UInt8]) -> Bool {
    send(message)
    return true
  }

  func requestFinished() {}
  func waitForRoom() async -> Bool { true }

  /// Messages that nobody has taken.
  var queued: [String] { state.withLock { $0.messages } }

  /// The next message.
  func next() async -> String {
    await withCheckedContinuation { continuation in
      let text = state.withLock { state -> String? in
        guard state.messages.isEmpty else { return state.messages.removeFirst() }
        state.waiting.append(continuation)
        return nil
      }
      if let text { continuation.resume(returning: text) }
    }
  }
}
