import Synchronization

/// The life of one monitor: after a number of calls to the outside it is dead, and nothing it calls ever returns.
final class Life: Sendable {
  private struct State {
    var callsLeft: Int?
    var calls: [String] = []
    var isDead = false
    var mourners: [CheckedContinuation<Void, Never>] = []
  }

  private let state: Mutex<State>

  init(calls: Int? = nil) { state = Mutex(State(callsLeft: calls)) }

  /// From now on only so many calls are answered.
  func end(after calls: Int) { state.withLock { $0.callsLeft = calls } }

  /// Counts a call; does not return when the monitor is dead by now.
  func enter(_ call: String) async {
    let mourners = state.withLock { state -> [CheckedContinuation<Void, Never>]? in
      guard state.callsLeft == 0 else {
        state.calls.append(call)
        if let left = state.callsLeft { state.callsLeft = left - 1 }
        return nil
      }
      state.isDead = true
      defer { state.mourners = [] }
      return state.mourners
    }
    guard let mourners else { return }
    for mourner in mourners { mourner.resume() }
    await Self.hang()
  }

  /// Returns when a call was made that is not answered.
  func untilDead() async {
    await withCheckedContinuation { mourner in
      let isDead = state.withLock { state in
        if !state.isDead { state.mourners.append(mourner) }
        return state.isDead
      }
      if isDead { mourner.resume() }
    }
  }

  var isDead: Bool { state.withLock { $0.isDead } }
  var calls: [String] { state.withLock { $0.calls } }

  static func hang() async { await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in } }
}
