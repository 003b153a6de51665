import CLinux
import Glibc
import Synchronization

/// Something with a descriptor that an event loop watches. All methods are called on the loop's thread.
protocol EventHandler: AnyObject, Sendable {
  func ready(_ events: EventLoop.Events)
  func deadlinePassed()
}

/// One thread that waits for many descriptors and calls their handlers.
///
/// Level-triggered epoll. Handlers must not block. The thread sleeps until something happens: an idle loop costs nothing.
final class EventLoop: Sendable {
  struct Events: OptionSet, Sendable {
    let rawValue: UInt32
    static let readable = Events(rawValue: EPOLLIN.rawValue)
    static let writable = Events(rawValue: EPOLLOUT.rawValue)
    /// Reported whether asked for or not.
    static let hungUp = Events(rawValue: EPOLLHUP.rawValue)
    static let error = Events(rawValue: EPOLLERR.rawValue)
  }

  /// Names a watched descriptor; never used again, so an event of a closed descriptor finds nobody.
  typealias Registration = UInt64

  private struct State {
    var handlers: [Registration: any EventHandler] = [:]
    var deadlines: [Registration: UInt64] = [:]
    /// No deadline is before this; it may be earlier than all of them.
    var earliest = UInt64.max
    var jobs: [@Sendable () -> Void] = []
    var next: Registration = 1
    var isStarted = false
    var isStopped = false
  }

  private let poll: Int32
  private let wakeup: Int32
  private let name: String
  private let state = Mutex(State())
  /// Where handlers receive to. Shared without a lock: only the loop's thread uses it, and one handler at a time.
  nonisolated(unsafe) let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)

  /// The loop of this process's clients. Never stops.
  static let clients = EventLoop(name: "ftvs-client")

  init(name: String) {
    self.name = name
    poll = epoll_create1(Int32(O_CLOEXEC))
    wakeup = eventfd(0, Int32(O_CLOEXEC | O_NONBLOCK))
    var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(u64: 0))
    if poll >= 0, wakeup >= 0 { epoll_ctl(poll, EPOLL_CTL_ADD, wakeup, &event) }
  }

  deinit {
    if poll >= 0 { close(poll) }
    if wakeup >= 0 { close(wakeup) }
    scratch.deallocate()
  }

  /// Starts the thread unless it runs; false when the process is out of descriptors or threads.
  func start() -> Bool {
    guard poll >= 0, wakeup >= 0 else { return false }
    let isFirst = state.withLock { state in
      defer { state.isStarted = true }
      return !state.isStarted
    }
    guard isFirst else { return true }
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    var thread = pthread_t()
    let loop = Unmanaged.passRetained(self)
    let result = pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument else { return nil }
        Unmanaged<EventLoop>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, loop.toOpaque())
    guard result == 0 else {
      loop.release()
      state.withLock { $0.isStarted = false }
      return false
    }
    return true
  }

  /// Ends the thread after the jobs that are queued.
  func stop() {
    state.withLock { $0.isStopped = true }
    wake()
  }

  /// Runs a job on the loop's thread, in order with others; not at all once the loop has stopped.
  func execute(_ job: @escaping @Sendable () -> Void) {
    let isFirst = state.withLock { state in
      state.jobs.append(job)
      return state.jobs.count == 1
    }
    if isFirst { wake() }
  }

  // MARK: Descriptors

  /// Begins to watch; nil when the kernel refuses.
  func add(_ descriptor: Int32, _ events: Events, _ handler: any EventHandler) -> Registration? {
    let registration = state.withLock { state in
      defer { state.next += 1 }
      state.handlers[state.next] = handler
      return state.next
    }
    var event = epoll_event(events: events.rawValue, data: epoll_data_t(u64: registration))
    guard epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event) == 0 else {
      state.withLock { _ = $0.handlers.removeValue(forKey: registration) }
      return nil
    }
    return registration
  }

  func change(_ registration: Registration, _ descriptor: Int32, _ events: Events) {
    var event = epoll_event(events: events.rawValue, data: epoll_data_t(u64: registration))
    epoll_ctl(poll, EPOLL_CTL_MOD, descriptor, &event)
  }

  /// Ends watching. The descriptor itself is the caller's, and may be one that other processes hold, too.
  func remove(_ registration: Registration, _ descriptor: Int32) {
    var event = epoll_event()
    epoll_ctl(poll, EPOLL_CTL_DEL, descriptor, &event)
    state.withLock { state in
      state.handlers[registration] = nil
      state.deadlines[registration] = nil
    }
  }

  /// Calls `deadlinePassed` at that time of the monotonic clock, instead of at an earlier set one; nil for never.
  func setDeadline(_ registration: Registration, _ deadline: UInt64?) {
    let mustWake = state.withLock { state in
      state.deadlines[registration] = deadline
      guard let deadline, deadline < state.earliest else { return false }
      state.earliest = deadline
      return true
    }
    if mustWake { wake() }
  }

  // MARK: The thread

  private func wake() {
    var one: UInt64 = 1
    _ = write(wakeup, &one, 8)
  }

  private func run() {
    ftvs_name_thread(name)
    var events = [epoll_event](repeating: epoll_event(), count: 128)
    while true {
      let timeout = state.withLock { Self.milliseconds(until: $0.earliest) }
      let count = epoll_wait(poll, &events, Int32(events.count), timeout)
      for event in events.prefix(max(0, Int(count))) {
        if event.data.u64 == 0 {
          var value: UInt64 = 0
          _ = read(wakeup, &value, 8)
          continue
        }
        let handler = state.withLock { $0.handlers[event.data.u64] }
        handler?.ready(Events(rawValue: event.events))
      }
      for handler in expired() { handler.deadlinePassed() }
      guard runJobs() else { return }
    }
  }

  private func runJobs() -> Bool {
    let (jobs, isStopped) = state.withLock { state in
      defer { state.jobs = [] }
      return (state.jobs, state.isStopped)
    }
    for job in jobs { job() }
    if isStopped { state.withLock { $0.handlers = [:] } }
    return !isStopped
  }

  private func expired() -> [any EventHandler] {
    state.withLock { state in
      guard state.earliest != .max else { return [] }
      let now = UnixSocket.now()
      guard state.earliest <= now else { return [] }
      let late = state.deadlines.filter { $0.value <= now }.map(\.key)
      for registration in late { state.deadlines[registration] = nil }
      state.earliest = state.deadlines.values.min() ?? .max
      return late.compactMap { state.handlers[$0] }
    }
  }

  private static func milliseconds(until deadline: UInt64) -> Int32 {
    guard deadline != .max else { return -1 }
    let now = UnixSocket.now()
    guard deadline > now else { return 0 }
    return Int32(min((deadline - now) / 1_000_000 + 1, 60_000))
  }
}
