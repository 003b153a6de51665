import Glibc
import Primitives

/// Wakes sleepers at times that may move away as they come closer.
///
/// From a thread of its own: what is put off again and again, as the judgement on an agent that beats, then costs one wake-up
/// of one thread instead of several of Swift's.
final class Alarm: @unchecked Sendable {
  // @unchecked: `sleepers`, `cancelled`, `numbers` and `isStarted` are only touched with
  // `monitor` held.
  private struct Sleeper {
    let number: Int
    /// Times are in nanoseconds of the monotonic clock.
    var due: Int64
    let more: @Sendable () -> Int64
    let continuation: CheckedContinuation<Int64, Never>
  }

  private let monitor = Monitor()
  private var sleepers: [Sleeper] = []
  /// Of sleeps that were cancelled before they began, or after they had ended: until the sleep itself returns.
  private var cancelled: Set<Int> = []
  private var numbers = 0
  private var isStarted = false

  /// The process's; its thread is started by the first sleeper.
  static let shared = Alarm()

  private init() {}

  /// Returns after that time, put off for as long as `more`, asked at its end, gives a time above 0; or when the task is
  /// cancelled. `more` is called with the lock held: it must be short, and not come back here.
  ///
  /// - Returns: when it was due.
  func sleep(nanoseconds: Int64, more: @escaping @Sendable () -> Int64) async -> Int64 {
    let due = monotonicNanoseconds() + max(0, nanoseconds)
    let number = monitor.locked {
      numbers += 1
      return numbers
    }
    let ended = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        add(Sleeper(number: number, due: due, more: more, continuation: continuation))
      }
    } onCancel: {
      cancel(number)
    }
    monitor.locked { _ = cancelled.remove(number) }
    return ended
  }

  private func add(_ sleeper: Sleeper) {
    let isCancelled = monitor.locked {
      if cancelled.remove(sleeper.number) != nil { return true }
      sleepers.append(sleeper)
      if !isStarted {
        isStarted = true
        startThread(name: "ftvs-alarm") { [self] in run() }
      }
      monitor.wakeOne()
      return false
    }
    if isCancelled { sleeper.continuation.resume(returning: sleeper.due) }
  }

  private func cancel(_ number: Int) {
    let sleeper = monitor.locked { () -> Sleeper? in
      guard let index = sleepers.firstIndex(where: { $0.number == number }) else {
        cancelled.insert(number)
        return nil
      }
      return sleepers.remove(at: index)
    }
    if let sleeper { sleeper.continuation.resume(returning: sleeper.due) }
  }

  // MARK: The thread

  private func run() {
    while true {
      for sleeper in awaitDue() { sleeper.continuation.resume(returning: sleeper.due) }
    }
  }

  /// Waits until somebody is to be woken.
  private func awaitDue() -> [Sleeper] {
    monitor.locked {
      while true {
        let now = monotonicNanoseconds()
        var late: [Sleeper] = []
        for index in sleepers.indices.reversed() where sleepers[index].due <= now {
          let extra = sleepers[index].more()
          if extra > 0 { sleepers[index].due = now + extra } else { late.append(sleepers.remove(at: index)) }
        }
        if !late.isEmpty { return late }
        guard let next = sleepers.map(\.due).min() else {
          monitor.wait()
          continue
        }
        _ = monitor.wait(until: timespec(nanoseconds: next))
      }
    }
  }
}
