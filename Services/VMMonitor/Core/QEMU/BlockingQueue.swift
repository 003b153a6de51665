import Dispatch

/// A thread for calls that block: files, `getpwnam`. In order, one at a time, never on the cooperative pool.
struct BlockingQueue: Sendable {
  private let queue: DispatchQueue

  init(_ label: String) { queue = DispatchQueue(label: label) }

  /// Runs the body there and waits without blocking the caller's thread. Called from an actor, bodies run in the order
  /// of the calls.
  func run<T: Sendable>(
    isolation: isolated (any Actor)? = #isolation, _ body: @escaping @Sendable () -> T
  ) async -> T {
    await withCheckedContinuation { continuation in queue.async { continuation.resume(returning: body()) } }
  }

  /// Runs the body there after all before it.
  func later(_ body: @escaping @Sendable () -> Void) { queue.async(execute: body) }
}
