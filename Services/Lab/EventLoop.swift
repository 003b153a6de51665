import Dispatch
import Glibc
import Synchronization

/// The lab's one thread: runs the supervisor's jobs, and calls back when a descriptor is readable or a time has come.
///
/// The thread must live as long as the lab, because the kernel ends the lab's children when the thread that started
/// them ends. It waits in poll(2): the descriptors are some twenty.
///
/// @unchecked Sendable: `handlers`, `timers` and `lastTimer` are touched only on the thread itself (`watch`, `after`
/// and their opposites are called by the supervisor, whose executor this is); all else is immutable or in a mutex.
final class EventLoop: SerialExecutor, @unchecked Sendable {
  /// A call that is due at some time.
  struct Timer: Sendable, Equatable {
    fileprivate let number: UInt64
  }

  private struct Due {
    let timer: Timer
    let time: UInt64
    let body: () -> Void
  }

  private struct Shared {
    var jobs: [UnownedJob] = []
    var stops = false
    var ended = false
    var thread: pthread_t?
  }

  private let shared = Mutex(Shared())
  /// Runs what is still asked after the thread's end, in turn.
  private let afterTheEnd = DispatchQueue(label: "lab.ended")
  private let wakeRead: Int32
  private let wakeWrite: Int32
  private var handlers: [Int32: () -> Void] = [:]
  private var timers: [Due] = []
  private var lastTimer: UInt64 = 0

  init() throws(LabError) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw .system("Cannot make a pipe") }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    wakeRead = ends[0]
    wakeWrite = ends[1]
    try startThread()
  }

  deinit {
    close(wakeRead)
    close(wakeWrite)
  }

  // MARK: Executor

  func enqueue(_ job: consuming ExecutorJob) {
    let unowned = UnownedJob(job)
    let hasEnded = shared.withLock { shared in
      if !shared.ended { shared.jobs.append(unowned) }
      return shared.ended
    }
    if hasEnded {
      afterTheEnd.async { unowned.runSynchronously(on: self.asUnownedSerialExecutor()) }
    } else {
      wake()
    }
  }

  func checkIsolated() {
    precondition(shared.withLock { $0.thread.map { pthread_equal($0, pthread_self()) != 0 } ?? false })
  }

  /// Ends the thread when the jobs that wait are done.
  func stop() {
    shared.withLock { $0.stops = true }
    wake()
  }

  // MARK: Descriptors and times (on the thread)

  /// Calls `body` whenever the descriptor is readable, until `unwatch`.
  func watch(_ descriptor: Int32, _ body: @escaping () -> Void) { handlers[descriptor] = body }

  func unwatch(_ descriptor: Int32) { handlers[descriptor] = nil }

  /// Calls `body` once when that time has passed.
  @discardableResult
  func after(_ duration: Duration, _ body: @escaping () -> Void) -> Timer {
    lastTimer += 1
    let timer = Timer(number: lastTimer)
    timers.append(Due(timer: timer, time: Self.now() + duration.nanoseconds, body: body))
    return timer
  }

  func cancel(_ timer: Timer?) {
    if let timer { timers.removeAll { $0.timer == timer } }
  }

  // MARK: The thread

  private func startThread() throws(LabError) {
    let loop = Unmanaged.passRetained(self)
    var made = pthread_t()
    let code = pthread_create(
      &made, nil,
      { argument in
        guard let argument else { return nil }
        let loop = Unmanaged<EventLoop>.fromOpaque(argument).takeRetainedValue()
        loop.shared.withLock { $0.thread = pthread_self() }
        loop.run()
        return nil
      }, loop.toOpaque())
    guard code == 0 else {
      loop.release()
      throw .system("Cannot start a thread", code)
    }
    pthread_detach(made)
  }

  private func run() {
    while true {
      let jobs = shared.withLock { shared in
        defer { shared.jobs = [] }
        return shared.jobs
      }
      for job in jobs { job.runSynchronously(on: asUnownedSerialExecutor()) }
      runDueTimers()
      let ends = shared.withLock { shared in
        shared.ended = shared.stops && shared.jobs.isEmpty
        return shared.ended
      }
      if ends { break }
      wait()
    }
    handlers = [:]
    timers = []
  }

  private func runDueTimers() {
    let now = Self.now()
    let due = timers.filter { $0.time <= now }.sorted { $0.time < $1.time }
    for entry in due where timers.contains(where: { $0.timer == entry.timer }) {
      timers.removeAll { $0.timer == entry.timer }
      entry.body()
    }
  }

  private func wait() {
    var timeout: Int32 = -1
    if let next = timers.map(\.time).min() {
      let now = Self.now()
      timeout = next <= now ? 0 : Int32(clamping: (next - now + 999_999) / 1_000_000)
    }
    if shared.withLock({ !$0.jobs.isEmpty || $0.stops }) { timeout = 0 }
    let watched = Array(handlers.keys)
    var polls = watched.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    polls.append(pollfd(fd: wakeRead, events: Int16(POLLIN), revents: 0))
    guard poll(&polls, nfds_t(polls.count), timeout) > 0 else { return }
    if polls.last?.revents != 0 { emptyWakePipe() }
    for (descriptor, state) in zip(watched, polls) where state.revents != 0 { handlers[descriptor]?() }
  }

  private func wake() {
    var byte: UInt8 = 0
    _ = write(wakeWrite, &byte, 1)
  }

  private func emptyWakePipe() {
    var bytes = [UInt8](repeating: 0, count: 256)
    while read(wakeRead, &bytes, bytes.count) > 0 {}
  }

  private static func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}

extension Duration {
  /// In whole nanoseconds; none when negative.
  var nanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    return seconds < 0 ? 0 : UInt64(clamping: seconds) * 1_000_000_000 + UInt64(clamping: attoseconds / 1_000_000_000)
  }
}
