import BlockLayers
import Dispatch
import Synchronization

/// A thread of a pool that is kept from all others until it is given back.
final class ThreadHold: Sendable {
  private let end = DispatchSemaphore(value: 0)
  private let isDecided = Atomic(false)

  private init() {}

  /// Waits until what was submitted before has ended, and takes the thread.
  static func take(_ pool: WorkerPool) async -> ThreadHold {
    let hold = ThreadHold()
    await withCheckedContinuation { continuation in
      pool.submit {
        continuation.resume()
        hold.end.wait()
      }
    }
    return hold
  }

  /// The same, when it takes no longer than a while; nil otherwise.
  static func take(_ pool: WorkerPool, within patience: Duration) async -> ThreadHold? {
    let hold = ThreadHold()
    let isTaken = await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
      pool.submit {
        guard hold.decides() else { return }
        continuation.resume(returning: true)
        hold.end.wait()
      }
      Task {
        try? await Task.sleep(for: patience)
        if hold.decides() { continuation.resume(returning: false) }
      }
    }
    return isTaken ? hold : nil
  }

  /// Whether this is the first to decide whether the thread was taken.
  private func decides() -> Bool { !isDecided.exchange(true, ordering: .acquiringAndReleasing) }

  /// Gives the thread back.
  func release() { end.signal() }
}
