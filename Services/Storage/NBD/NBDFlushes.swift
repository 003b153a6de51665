import Primitives
import BlockLayers
import Glibc

/// Flushes of one connection that workers execute and answer.
final class NBDFlushes: @unchecked Sendable {
  // `running` is touched only with `monitor` held; the rest is immutable and thread-safe.
  private let connection: NBDConnection
  private let device: any BlockDevice
  private let pool: WorkerPool
  private let limit: Int
  private let structured: Bool
  private let monitor = Monitor()
  private var running = 0

  init(_ connection: NBDConnection, _ device: any BlockDevice, _ pool: WorkerPool, limit: Int, structured: Bool) {
    self.connection = connection
    self.device = device
    self.pool = pool
    self.limit = limit
    self.structured = structured
  }

  /// Flushes the device and answers the request afterwards. What the connection wrote before is covered.
  func submit(_ cookie: UInt64, _ output: inout NBDOutput) throws(NBDEnd) {
    monitor.lock()
    if running >= limit {
      // Answers must not wait for the place that they may make room for.
      monitor.unlock()
      try output.send()
      monitor.lock()
      while running >= limit { monitor.wait() }
    }
    running += 1
    monitor.unlock()
    pool.submit { [self] in run(cookie) }
  }

  /// Waits until none is under way.
  func wait() {
    monitor.lock()
    while running > 0 { monitor.wait() }
    monitor.unlock()
  }

  private func run(_ cookie: UInt64) {
    var output = NBDOutput(connection, capacity: 64)
    do throws(BlockError) {
      try device.flush()
      output.putSuccess(cookie, structured: structured)
    } catch {
      output.putFailure(cookie, NBD.Failure(error), structured: structured)
    }
    // A client that is gone needs no answer.
    try? output.send()
    monitor.lock()
    running -= 1
    monitor.wakeAll()
    monitor.unlock()
  }
}
