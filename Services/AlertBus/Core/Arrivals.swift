import Synchronization

/// Tells waiting followers that there are new alerts.
final class Arrivals: Sendable {
  private struct State {
    var last: Int64
    var waiters: [Int: (after: Int64, continuation: CheckedContinuation<Void, Never>)] = [:]
    var next = 0
    /// Waits that were cancelled before they began.
    var cancelled: Set<Int> = []
  }

  private let state: Mutex<State>

  init(last: Int64) { state = Mutex(State(last: last)) }

  /// Number of the newest alert that is known to be durable.
  var last: Int64 { state.withLock { $0.last } }

  /// Followers that wait.
  var waiting: Int { state.withLock { $0.waiters.count } }

  /// Says that there are alerts up to this number.
  func advance(to last: Int64) {
    let woken = state.withLock { state in
      guard last > state.last else { return [CheckedContinuation<Void, Never>]() }
      state.last = last
      let woken = state.waiters.filter { $0.value.after < last }
      for number in woken.keys { state.waiters[number] = nil }
      return woken.values.map(\.continuation)
    }
    for continuation in woken { continuation.resume() }
  }

  /// Returns when there is an alert after this one, or when the task is cancelled.
  func wait(after sequence: Int64) async {
    let number = state.withLock { state in
      state.next += 1
      return state.next
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isDone = state.withLock { state in
          if state.cancelled.remove(number) != nil || state.last > sequence { return true }
          state.waiters[number] = (sequence, continuation)
          return false
        }
        if isDone { continuation.resume() }
      }
    } onCancel: {
      let continuation = state.withLock { state in
        let waiter = state.waiters.removeValue(forKey: number)
        if waiter == nil { state.cancelled.insert(number) }
        return waiter?.continuation
      }
      continuation?.resume()
    }
    _ = state.withLock { $0.cancelled.remove(number) }
  }
}
