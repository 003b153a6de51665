import Glibc

/// A mutual exclusion with a condition to wait for, for threads that may block.
public final class Monitor: @unchecked Sendable {
  // The two objects are made before anybody sees this one, are used through the thread-safe calls of pthread alone, and
  // are freed when nobody sees it any more.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  public init() {
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  @inline(__always)
  public func lock() { pthread_mutex_lock(mutex) }

  @inline(__always)
  public func unlock() { pthread_mutex_unlock(mutex) }

  /// Waits, with the lock given up meanwhile, until somebody calls `wakeAll`; may return without a cause.
  public func wait() { pthread_cond_wait(condition, mutex) }

  /// As `wait`, but for no longer than until a time of the monotonic clock. False when that has come.
  public func wait(until end: timespec) -> Bool {
    var end = end
    return pthread_cond_timedwait(condition, mutex, &end) != ETIMEDOUT
  }

  /// The time of the monotonic clock after a while.
  public static func time(in span: Duration) -> timespec {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    let (seconds, attoseconds) = span.components
    let nanoseconds = time.tv_nsec + Int(attoseconds / 1_000_000_000)
    time.tv_sec += Int(clamping: seconds) + nanoseconds / 1_000_000_000
    time.tv_nsec = nanoseconds % 1_000_000_000
    return time
  }

  /// Wakes all who wait.
  public func wakeAll() { pthread_cond_broadcast(condition) }

  /// Wakes one of those who wait.
  public func wakeOne() { pthread_cond_signal(condition) }

  /// Runs `body` with the lock held.
  @inline(__always)
  public func locked<T: ~Copyable, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
    lock()
    defer { unlock() }
    return try body()
  }
}

extension timespec {
  /// A time of the monotonic clock, in nanoseconds.
  public init(nanoseconds: Int64) {
    self.init(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
  }
}
