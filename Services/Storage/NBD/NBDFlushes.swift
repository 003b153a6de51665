import Primitives
import BlockLayers
import Glibc

/// Flushes of one connection that workers execute.
final class NBDFlushes: @unchecked Sendable {
  // `running` is touched only with `monitor` held; the rest is immutable and thread-safe.
  private let connection: NBDConnection
  private let device: any BlockDevice
  private let pool: WorkerPool
  private let held: NBDHeldAnswers
  private let limit: Int
  private let structured: Bool
  private let monitor = Monitor()
  private var running = 0

  init(
    _ connection: NBDConnection, _ device: any BlockDevice, _ pool: WorkerPool, _ held: NBDHeldAnswers, limit: Int,
    structured: Bool
  ) {
    self.connection = connection
    self.device = device
    self.pool = pool
    self.held = held
    self.limit = limit
    self.structured = structured
  }

  /// Flushes the device and answers the request afterwards. What the connection wrote before is covered.
  func submit(_ cookie: UInt64, _ output: inout NBDOutput) throws(NBDEnd) {
    // Who does not take its answers gets no further ones: the queue holds no more than `limit`.
    try connection.sendQueued()
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
    if connection.awaitWorker() {
      pool.submit { [self] in
        if let answer = flush(cookie) { connection.answer(answer) }
        end()
      }
    } else {
      // Nor is there a descriptor to be woken by when an answer is held.
      let answer = flush(cookie)
      end()
      guard let answer else { throw .ended }
      try output.reserve(answer.count)
      output.put(answer)
    }
  }

  /// Waits until none is under way.
  func wait() {
    monitor.lock()
    while running > 0 { monitor.wait() }
    monitor.unlock()
  }

  private func end() {
    monitor.lock()
    running -= 1
    monitor.wakeAll()
    monitor.unlock()
  }

  /// The answer; nil where it is held, or there are too many of those: then the connection ends.
  private func flush(_ cookie: UInt64) -> [UInt8]? {
    do throws(BlockError) {
      try device.flush()
      guard held.mustHold else { return NBDAnswer.success(cookie) }
      if !held.hold(cookie) { connection.shutDown(fencing: false) }
      return nil
    } catch {
      return NBDAnswer.failure(cookie, NBD.Failure(error), error.description, structured: structured)
    }
  }
}
