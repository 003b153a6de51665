import Primitives
import CLinuxFile
import Glibc

/// A bounded number of threads for calls that block; they are started when there is work and stay.
///
/// A job must not wait for another job of the same pool.
public final class WorkerPool: @unchecked Sendable {
  // Everything mutable is touched only with `monitor` held.
  private let monitor = Monitor()
  private let limit: Int
  private let name: String
  private var threads = 0
  private var waiting = 0
  private var jobs: [@Sendable () -> Void] = []
  private var next = 0

  /// - Parameters:
  ///   - name: what the threads are called, at most 15 bytes.
  ///   - limit: the most threads there will ever be.
  public init(name: String, limit: Int) {
    self.name = name
    self.limit = max(limit, 1)
  }

  /// Runs `job` on one of the threads, after what was submitted before has at least begun.
  public func submit(_ job: @escaping @Sendable () -> Void) {
    let startsThread = monitor.locked { () -> Bool in
      jobs.append(job)
      monitor.wakeOne()
      // One that was woken still counts as waiting: only when all that wait have something to do is a new one needed.
      guard jobs.count - next > waiting, threads < limit else { return false }
      threads += 1
      return true
    }
    if startsThread, !IOThread.start(name: name, { [self] in work() }) {
      let orphaned = monitor.locked { () -> Bool in
        threads -= 1
        return threads == 0
      }
      // Without a single thread nobody else would ever do it.
      if orphaned, let job = take(mayWait: false) { job() }
    }
  }

  private func work() {
    while let job = take(mayWait: true) { job() }
  }

  private func take(mayWait: Bool) -> (@Sendable () -> Void)? {
    monitor.lock()
    defer { monitor.unlock() }
    while next == jobs.count {
      guard mayWait else { return nil }
      waiting += 1
      monitor.wait()
      waiting -= 1
    }
    let job = jobs[next]
    next += 1
    if next == jobs.count {
      jobs.removeAll(keepingCapacity: true)
      next = 0
    } else if next > 64 {
      jobs.removeFirst(next)
      next = 0
    }
    return job
  }
}

/// Threads of the operating system.
public enum IOThread {
  private final class Body {
    let name: String
    let run: @Sendable () -> Void
    init(name: String, run: @escaping @Sendable () -> Void) {
      self.name = name
      self.run = run
    }
  }

  /// Starts a detached thread. False when the system has none to give; then `body` never runs.
  public static func start(name: String, _ body: @escaping @Sendable () -> Void) -> Bool {
    let context = Unmanaged.passRetained(Body(name: name, run: body))
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, 1 << 20)
    defer { pthread_attr_destroy(&attributes) }
    var thread = pthread_t()
    let status = pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument else { return nil }
        let body = Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
        pthread_setname_np(pthread_self(), body.name)
        body.run()
        return nil
      }, context.toOpaque())
    if status != 0 { context.release() }
    return status == 0
  }
}
