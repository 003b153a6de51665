import CLinux
import Glibc

/// The processes of a running unit: its main process, which leads a session of its own, and all that came from it.
struct UnitProcess: Sendable {
  let processID: Int32
  /// Becomes readable when the main process ends.
  let descriptor: Int32
  /// Start of the main process in ticks since boot.
  let startTicks: UInt64
  /// `INVOCATION_ID=…` in the environment of each of its processes: finds those that left the session.
  let invocation: String

  /// Starts a program as the leader of a new session, which the kernel ends with the lab.
  ///
  /// A shell and setpriv stand between, because LISTEN_PID must be the number of the process that reads it and the
  /// death signal is set by the child itself; both replace themselves, so the number stays.
  ///
  /// - Parameter descriptors: Become 3, 4 and so on in the child. None of them may be below `firstSafe`.
  static func start(
    _ command: [String], environment: [String: String], descriptors: [Int32], output: Int32, invocation: String
  ) throws(LabError) -> UnitProcess {
    let script = """
      export LISTEN_PID=$$ WATCHDOG_PID=$$; exec setpriv --pdeathsig KILL -- "$0" "$@"
      """
    let marker = "INVOCATION_ID=\(invocation)"
    let processID = try spawn(
      ["/bin/sh", "-c", script] + command, environment.map { "\($0.key)=\($0.value)" } + [marker], descriptors, output)
    let descriptor = ftvs_pidfd_open(processID)
    guard descriptor >= 0 else {
      let code = errno
      Glibc.kill(processID, SIGKILL)
      waitpid(processID, nil, 0)
      throw .system("Cannot watch a process", code)
    }
    return UnitProcess(
      processID: processID, descriptor: descriptor,
      startTicks: ProcessTable.entry(processID)?.startTicks ?? 0, invocation: marker)
  }

  /// Lowest number of a descriptor that may be handed to a child: those below are where the child gets them.
  static let firstSafe: Int32 = 64

  private static func spawn(
    _ arguments: [String], _ environment: [String], _ descriptors: [Int32], _ output: Int32
  ) throws(LabError) -> Int32 {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, output, 1)
    posix_spawn_file_actions_adddup2(&actions, output, 2)
    var next: Int32 = 3
    for descriptor in descriptors {
      posix_spawn_file_actions_adddup2(&actions, descriptor, next)
      next += 1
    }
    ftvs_spawn_close_from(&actions, next)

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | 0x80  // POSIX_SPAWN_SETSID
    posix_spawnattr_setflags(&attributes, Int16(flags))

    var processID: pid_t = 0
    let code = withCStrings(arguments) { arguments in
      withCStrings(environment) { environment in
        posix_spawn(&processID, "/bin/sh", &actions, &attributes, arguments, environment)
      }
    }
    guard code == 0 else { throw .system("Cannot start a process", code) }
    return processID
  }

  /// Sends a signal to all its processes.
  func signal(_ number: Int32) {
    Glibc.kill(-processID, number)
    signalStrays(number, in: ProcessTable.all())
  }

  /// Sends a signal to those of its processes that left the session.
  func signalStrays(_ number: Int32, in table: [ProcessEntry]) {
    for entry in members(in: table) where entry.session != processID { Glibc.kill(entry.processID, number) }
  }

  /// Its processes that have not ended, the main one included. Reaps those that have.
  func members(in all: [ProcessEntry] = ProcessTable.all()) -> [ProcessEntry] {
    let own = getpid()
    var known: Set<Int32> = []
    for entry in all {
      if entry.session == processID
        || (entry.parent == own && entry.session != own
          && ProcessTable.environment(of: entry.processID, contains: invocation))
      {
        known.insert(entry.processID)
      }
    }
    var grows = true
    while grows {
      let more = all.filter { known.contains($0.parent) && !known.contains($0.processID) }
      known.formUnion(more.map(\.processID))
      grows = !more.isEmpty
    }
    return all.filter { entry in
      guard known.contains(entry.processID) else { return false }
      guard entry.state == UInt8(ascii: "Z") else { return true }
      // The main process is reaped where its end is noticed: its status is wanted there.
      if entry.parent == own && entry.processID != processID { waitpid(entry.processID, nil, WNOHANG) }
      return false
    }
  }

  /// How the main process ended, reaping it; nil while it runs.
  func reap() -> ProcessEnd? {
    var status: Int32 = 0
    let answer = waitpid(processID, &status, WNOHANG)
    if answer == 0 { return nil }
    // Nobody else reaps it; should that happen all the same, it has ended and nothing more is known.
    if answer < 0 { return errno == ECHILD ? .exited(255) : nil }
    return status & 0x7F == 0 ? .exited((status >> 8) & 0xFF) : .signalled(status & 0x7F)
  }
}

/// How a process ended.
enum ProcessEnd: Sendable, Equatable {
  case exited(Int32)
  case signalled(Int32)
}

/// Calls `body` with a null-terminated array of C strings.
private func withCStrings<R>(_ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R) -> R {
  let copies = strings.map { strdup($0) }
  defer { for copy in copies { free(copy) } }
  return body(copies + [nil])
}
