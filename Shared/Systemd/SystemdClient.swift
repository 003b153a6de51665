import CSystemd
import Glibc
import Primitives
import Synchronization

/// The service manager of this host, over the system bus, on a thread of its own.
///
/// It connects at the first call, and anew at the first one after the connection ended. Which unit the process may act on is polkit's to
/// say.
public final class SystemdClient: Sendable {
  private let loop = BusLoop()

  public init() { loop.start() }

  deinit { loop.stop() }

  /// How a job ended.
  public struct JobEnd: Sendable {
    /// `done`, `failed`, `canceled`, `timeout`, `dependency` or `skipped`.
    public var result: String
    /// Whether a condition kept the unit from starting, which is a job well done to systemd.
    public var conditionFailed: Bool
  }

  /// Starts a unit and waits for the job's end.
  public func start(_ unit: String) async throws(BusError) -> JobEnd { try await job("StartUnit", unit) }

  /// Stops a unit and waits for the job's end.
  public func stop(_ unit: String) async throws(BusError) -> JobEnd { try await job("StopUnit", unit) }

  /// Sends a signal to every process of a unit, or of a slice with all that is in it.
  public func kill(_ unit: String, signal: Int32) async throws(BusError) {
    try await loop.perform { session, done in
      session.manager("KillUnit", [.string(unit), .string("all"), .int32(signal)]) { done($0.map { _ in }) }
    }
  }

  /// What is known of a unit; systemd loads it for this where it was not.
  public func unit(_ name: String) async throws(BusError) -> SystemdUnit {
    try await loop.perform { session, done in session.fetch(name, done) }
  }

  /// Where the processes of a service or slice are: a path below `/sys/fs/cgroup`, or nothing where there were none.
  public func controlGroup(of unit: String) async throws(BusError) -> String {
    try await loop.perform { session, done in
      session.fetchControlGroup(unit, done)
    }
  }

  private func job(_ member: String, _ unit: String) async throws(BusError) -> JobEnd {
    try await loop.perform { session, done in session.job(member, unit, done) }
  }
}

/// The thread, and how work gets there.
private final class BusLoop: Sendable {
  /// Work for the thread; it gets the session, or why there is none.
  typealias Work = @Sendable (Result<BusSession, BusError>) -> Void

  private struct State {
    var work: [Work] = []
    var isStopped = false
  }

  private let state = Mutex(State())
  private let wakeUpReader: Int32
  private let wakeUpWriter: Int32

  init() {
    var ends: [Int32] = [-1, -1]
    pipe(&ends)
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    (wakeUpReader, wakeUpWriter) = (ends[0], ends[1])
  }

  deinit {
    close(wakeUpReader)
    close(wakeUpWriter)
  }

  func start() { startThread(name: "ftvs-bus") { [self] in run() } }

  func stop() {
    state.withLock { $0.isStopped = true }
    wakeUp()
  }

  /// Does work on the thread and waits until it calls `done`.
  func perform<R: Sendable>(
    _ body: @escaping @Sendable (BusSession, @escaping @Sendable (Result<R, BusError>) -> Void) -> Void
  ) async throws(BusError) -> R {
    let result: Result<R, BusError> = await withCheckedContinuation { continuation in
      let work: Work = { session in
        switch session {
        case .success(let session): body(session) { continuation.resume(returning: $0) }
        case .failure(let error): continuation.resume(returning: .failure(error))
        }
      }
      state.withLock { $0.work.append(work) }
      wakeUp()
    }
    return try result.get()
  }

  private func wakeUp() { _ = write(wakeUpWriter, [1], 1) }

  private func run() {
    var session: BusSession?
    while true {
      var bytes = [UInt8](repeating: 0, count: 64)
      while read(wakeUpReader, &bytes, bytes.count) > 0 {}
      let (work, isStopped) = state.withLock { state in
        defer { state.work = [] }
        return (state.work, state.isStopped)
      }
      for body in work { body(open(&session)) }
      if isStopped {
        session?.close(BusError(name: BusError.disconnected, message: "The client was closed"))
        return
      }
      step(&session)
    }
  }

  /// Handles what arrived, and waits for more.
  private func step(_ session: inout BusSession?) {
    guard let current = session else {
      var descriptor = pollfd(fd: wakeUpReader, events: Int16(POLLIN), revents: 0)
      poll(&descriptor, 1, -1)
      return
    }
    do throws(BusError) {
      try current.connection.processAll()
      current.connection.wait(orUntilReadable: wakeUpReader)
    } catch {
      current.close(error)
      session = nil
    }
  }

  private func open(_ session: inout BusSession?) -> Result<BusSession, BusError> {
    if let session { return .success(session) }
    do throws(BusError) {
      let new = try BusSession()
      session = new
      return .success(new)
    } catch {
      return .failure(error)
    }
  }
}
