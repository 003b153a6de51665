import BlockLayers
import Dispatch
import Synchronization

extension WorkerPool {
  /// Runs `body`, which may block, on one of the threads and hands on what it returns or throws.
  func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      submit { continuation.resume(with: Result(catching: body)) }
    }
  }

  /// Runs `body`, which may block, on one of the threads and hands on what it returns.
  func run<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T {
    await withCheckedContinuation { continuation in
      submit { continuation.resume(returning: body()) }
    }
  }
}

/// Where a task leaves its result for a thread that waits for it.
private final class Outcome<T: Sendable, E: Error>: Sendable {
  private let result = Mutex<Result<T, E>?>(nil)
  private let done = DispatchSemaphore(value: 0)

  func set(_ value: Result<T, E>) {
    result.withLock { $0 = value }
    done.signal()
  }

  func wait() -> Result<T, E> {
    while true {
      if let value = result.withLock({ $0 }) { return value }
      done.wait()
    }
  }
}

/// Waits on a thread that may block for what is asynchronous. Never to be called on the cooperative pool.
func waitBlocking<T: Sendable, E: Error>(_ body: @escaping @Sendable () async throws(E) -> T) throws(E) -> T {
  let outcome = Outcome<T, E>()
  Task.detached {
    do throws(E) { outcome.set(.success(try await body())) } catch { outcome.set(.failure(error)) }
  }
  return try outcome.wait().get()
}
