import Synchronization

/// What the body answers, or nil when that takes longer than `limit`; the body then goes on by itself.
func within<T: Sendable>(_ limit: Duration, _ body: @escaping @Sendable () async -> T) async -> T? {
  let race = Race<T>()
  return await withCheckedContinuation { continuation in
    race.begin(continuation)
    let timer = Task {
      do { try await Task.sleep(for: limit) } catch { return }
      race.end(nil)
    }
    Task {
      race.end(await body())
      timer.cancel()
    }
  }
}

/// Resumes a continuation with whatever comes first.
private final class Race<T: Sendable>: Sendable {
  private let continuation = Mutex<CheckedContinuation<T?, Never>?>(nil)

  func begin(_ value: CheckedContinuation<T?, Never>) { continuation.withLock { $0 = value } }

  func end(_ value: T?) {
    let waiting = continuation.withLock { continuation in
      defer { continuation = nil }
      return continuation
    }
    waiting?.resume(returning: value)
  }
}
