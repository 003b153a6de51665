import HardwareSupervisorCore
import Synchronization

/// Time that passes when a test says so.
final class ManualClock: Sendable {
  private struct Sleeper {
    let owner: Int
    let wake: Int64
    let continuation: CheckedContinuation<Void, Never>
  }
  private struct State {
    var now: Int64 = 1_000_000_000
    var nextOwner = 0
    var sleepers: [Sleeper] = []
  }
  private let state = Mutex(State())

  var now: Int64 { state.withLock { $0.now } }

  func advance(milliseconds: Int64) {
    let due = state.withLock { state -> [Sleeper] in
      state.now += milliseconds * 1_000_000
      let now = state.now
      let due = state.sleepers.filter { $0.wake <= now }
      state.sleepers.removeAll { $0.wake <= now }
      return due
    }
    for sleeper in due { sleeper.continuation.resume() }
  }

  /// Tasks of one instance that wait for time to pass.
  func sleepers(of owner: Int) -> Int { state.withLock { $0.sleepers.count { $0.owner == owner } } }

  /// The clock as one instance of the supervisor has it.
  func view(_ life: Life) -> InstanceClock {
    InstanceClock(
      clock: self, life: life,
      owner: state.withLock {
        $0.nextOwner += 1
        return $0.nextOwner
      })
  }

  fileprivate func sleep(_ owner: Int, _ nanoseconds: Int64) async {
    guard nanoseconds > 0 else { return await Task.yield() }
    await withCheckedContinuation { continuation in
      state.withLock {
        $0.sleepers.append(Sleeper(owner: owner, wake: $0.now + nanoseconds, continuation: continuation))
      }
    }
  }
}

struct InstanceClock: HostClock {
  let clock: ManualClock
  let life: Life
  let owner: Int

  var nanoseconds: Int64 { clock.now }
  var millisecondsSinceEpoch: Int64 { 1_700_000_000_000 + clock.now / 1_000_000 }
  func sleep(nanoseconds: Int64) async {
    await clock.sleep(owner, nanoseconds)
    await life.pass()
  }
}

/// One instance's life: after its end none of its steps goes on, as after SIGKILL.
final class Life: Sendable {
  private struct State {
    var isOver = false
    var stepsLeft: Int?
  }
  private let state: Mutex<State>

  /// - Parameter steps: after that many steps the process dies in the middle of the next.
  init(steps: Int? = nil) { state = Mutex(State(stepsLeft: steps)) }

  var isOver: Bool { state.withLock { $0.isOver } }
  func end() { state.withLock { $0.isOver = true } }

  /// Counts a step; never returns to a process that is dead.
  func pass() async {
    let isOver = state.withLock { state -> Bool in
      if let left = state.stepsLeft {
        state.stepsLeft = left - 1
        if left <= 0 { state.isOver = true }
      }
      return state.isOver
    }
    if isOver { await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in } }
  }
}
