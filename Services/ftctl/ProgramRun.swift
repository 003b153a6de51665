import FoundationEssentials
import Glibc
import Lab
import Synchronization

/// Runs other programs, one after the other, each to its end. They end with ftctl, whatever ends that.
final class ProgramRunner: Sendable {
  /// How a program ended.
  struct End: Sendable {
    /// Its exit code; negative where a signal ended it.
    var code: Int32
    var output: String
    var errors: String

    /// The last line of what it complained of, without the program's name.
    var reason: String {
      let line = errors.split(whereSeparator: \.isNewline).last.map(String.init) ?? "it ended with \(code)"
      return line.hasPrefix("qemu-img: ") ? String(line.dropFirst("qemu-img: ".count)) : line
    }
  }

  private struct State {
    var process: Int32?
    var isStopped = false
  }

  private let state = Mutex(State())
  /// Bytes of output that are kept.
  private static let outputBytes = 64 << 20

  /// Runs a program of the PATH.
  ///
  /// - Parameter output: told what comes, from a thread of its own.
  func run(
    _ command: [String], output: @escaping @Sendable (String) -> Void = { _ in }
  ) async throws(Complaint) -> End {
    let result: Result<End, Complaint> = await withCheckedContinuation { continuation in
      // The kernel ends the program when the thread ends that began it, which is when ftctl does.
      OwnThread.start { continuation.resume(returning: self.runHere(command, output)) }
    }
    return try result.get()
  }

  /// Ends the program that runs, and lets no other begin.
  func stop() {
    state.withLock { state in
      state.isStopped = true
      if let process = state.process { kill(process, SIGKILL) }
    }
  }

  private func runHere(_ command: [String], _ output: (String) -> Void) -> Result<End, Complaint> {
    var pipes: [Int32] = [-1, -1, -1, -1]
    defer { for end in pipes where end >= 0 { close(end) } }
    let isPiped = pipes.withUnsafeMutableBufferPointer { ends in
      guard let base = ends.baseAddress else { return false }
      return pipe(base) == 0 && pipe(base + 2) == 0
    }
    for end in pipes where end >= 0 { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    guard isPiped else { return .failure(Self.cannot(command, errno)) }
    let started = state.withLock { state -> Result<Int32, Complaint> in
      guard !state.isStopped else { return .failure(Complaint("Interrupted.")) }
      let started = Self.spawn(command, output: pipes[1], errors: pipes[3])
      if case .success(let process) = started { state.process = process }
      return started
    }
    for index in [1, 3] {
      close(pipes[index])
      pipes[index] = -1
    }
    guard case .success(let process) = started else {
      return started.map { _ in End(code: -1, output: "", errors: "") }
    }
    let (printed, complained) = Self.collect(pipes[0], pipes[2], output)
    // Not reaped with the lock free: a number that was reaped may be another program's.
    var status: Int32 = 0
    var info = siginfo_t()
    while waitid(P_PID, id_t(process), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR {}
    state.withLock { state in
      waitpid(process, &status, 0)
      state.process = nil
    }
    let code = status & 0x7F == 0 ? status >> 8 & 0xFF : -(status & 0x7F)
    return .success(End(code: code, output: printed, errors: complained))
  }

  /// Reads both to their ends.
  private static func collect(
    _ output: Int32, _ errors: Int32, _ told: (String) -> Void
  ) -> (output: String, errors: String) {
    var kept: [[UInt8]] = [[], []]
    var watched = [output, errors].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    var part = [UInt8](repeating: 0, count: 65_536)
    while watched.contains(where: { $0.fd >= 0 }) {
      guard poll(&watched, 2, -1) >= 0 || errno == EINTR else { break }
      for index in watched.indices where watched[index].fd >= 0 && watched[index].revents != 0 {
        let count = read(watched[index].fd, &part, part.count)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else {
          watched[index].fd = -1
          continue
        }
        if kept[index].count < outputBytes { kept[index].append(contentsOf: part.prefix(count)) }
        if index == 0 { told(String(decoding: part.prefix(count), as: UTF8.self)) }
      }
    }
    return (String(decoding: kept[0], as: UTF8.self), String(decoding: kept[1], as: UTF8.self))
  }

  private static func spawn(_ command: [String], output: Int32, errors: Int32) -> Result<Int32, Complaint> {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
    posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // Ctrl-C is for ftctl, which ends the program when it has decided to; and what ftctl ignores the program does not.
    var defaults = sigset_t()
    sigemptyset(&defaults)
    for number in [SIGINT, SIGTERM, SIGHUP, SIGPIPE] { sigaddset(&defaults, number) }
    posix_spawnattr_setsigdefault(&attributes, &defaults)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
    var variables = ProcessInfo.processInfo.environment
    // What it complains of is shown among our own sentences.
    variables["LC_ALL"] = "C.UTF-8"
    let words = ["setpriv", "--pdeathsig", "KILL", "--"] + command
    let copies = words.map { strdup($0) }
    let environment = variables.map { strdup("\($0.key)=\($0.value)") }
    defer { for copy in copies + environment { free(copy) } }
    var process: pid_t = 0
    let code = posix_spawnp(&process, "setpriv", &actions, &attributes, copies + [nil], environment + [nil])
    return code == 0 ? .success(process) : .failure(cannot(command, code))
  }

  private static func cannot(_ command: [String], _ code: Int32) -> Complaint {
    Complaint("Cannot start \(command.first ?? ""): \(String(cString: strerror(code))).", .system)
  }
}
