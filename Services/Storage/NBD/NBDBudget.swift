import Primitives

/// Memory that all connections share: who needs more than is left waits until others give theirs back.
final class NBDBudget: @unchecked Sendable {
  // `used` is touched only with `monitor` held.
  private let monitor = Monitor()
  private let limit: Int
  private var used = 0

  /// - Parameter limit: bytes in use at the same time. What is larger is given alone.
  init(limit: Int) { self.limit = limit }

  /// Waits until there is room; ends early when the connection is fenced.
  func take(_ bytes: Int, for connection: NBDConnection) throws(NBDEnd) {
    monitor.lock()
    defer { monitor.unlock() }
    while used > 0, bytes > limit - used {
      if connection.isFenced.load(ordering: .sequentiallyConsistent) { throw .ended }
      monitor.wait()
    }
    used += bytes
  }

  func give(_ bytes: Int) {
    monitor.locked {
      used -= bytes
      monitor.wakeAll()
    }
  }

  /// Has those who wait look whether they were fenced.
  func wakeFenced() { monitor.locked { monitor.wakeAll() } }
}
