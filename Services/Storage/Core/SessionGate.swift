import Dispatch
import Synchronization

/// Counts what is in flight, and once closed lets nothing more begin.
///
/// `close` returns when nothing is in flight any longer: that is the proof a fence gives.
final class SessionGate: Sendable {
  private struct State {
    var inFlight = 0
    var begun: UInt64 = 0
    var isClosed = false
    var waiters: [DispatchSemaphore] = []
  }

  private let state = Mutex(State())

  /// Whether an operation may begin; one that did must `leave`.
  func enter() -> Bool {
    state.withLock { state in
      guard !state.isClosed else { return false }
      state.inFlight += 1
      state.begun &+= 1
      return true
    }
  }

  /// What went through it so far.
  var activity: ResyncPace.Activity {
    state.withLock { ResyncPace.Activity(begun: $0.begun, inFlight: $0.inFlight) }
  }

  func leave() {
    let waiters = state.withLock { state -> [DispatchSemaphore] in
      state.inFlight -= 1
      guard state.inFlight == 0, state.isClosed else { return [] }
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.signal() }
  }

  /// Lets nothing more begin, and waits for what did. Blocks.
  func close() {
    let waiter = state.withLock { state -> DispatchSemaphore? in
      state.isClosed = true
      guard state.inFlight > 0 else { return nil }
      let waiter = DispatchSemaphore(value: 0)
      state.waiters.append(waiter)
      return waiter
    }
    waiter?.wait()
  }
}
