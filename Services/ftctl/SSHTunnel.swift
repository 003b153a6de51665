import FoundationEssentials
import Glibc
import Lab
import Primitives
import Synchronization

/// Another host's sockets, forwarded to a private directory here by ssh.
final class SSHTunnel: Sendable {
  /// Directory of the sockets on this side.
  let directory: String
  private let process: Mutex<Int32?>
  private let interrupts = Mutex<InterruptGuard?>(nil)

  /// Longest wait for the connection, passwords typed by hand included.
  private static let patience = Duration.seconds(120)

  private init(directory: String, process: Int32) {
    self.directory = directory
    self.process = Mutex(process)
    interrupts.withLock { $0 = InterruptGuard { [weak self] in self?.close() } }
  }

  deinit { close() }

  /// Connects, and answers when the sockets are there.
  static func open(host: String, remoteDirectory: String) async throws(Complaint) -> SSHTunnel {
    let directory = try makeDirectory()
    let errors = "\(directory)/errors"
    let ending = Ending()
    let process: Int32
    do throws(Complaint) {
      process = try await start(
        arguments(host: host, remoteDirectory: remoteDirectory, directory: directory), errors: errors, ending)
    } catch {
      removeDirectory(directory)
      throw error
    }
    let tunnel = SSHTunnel(directory: directory, process: process)
    let deadline = ContinuousClock.now + patience
    while !isReady(directory) {
      if ending.hasEnded || ContinuousClock.now > deadline {
        let reason = lastLine(errors) ?? "no connection in time"
        tunnel.close()
        throw Complaint("Cannot reach \(host) by ssh: \(reason).\nTry: ssh \(host) true", .unavailable)
      }
      try? await Task.sleep(for: .milliseconds(20))
    }
    return tunnel
  }

  /// Ends ssh and removes the directory.
  func close() {
    let running = process.withLock { process in
      defer { process = nil }
      return process
    }
    guard let running else { return }
    kill(running, SIGTERM)
    Self.removeDirectory(directory)
    interrupts.withLock { $0?.disarm() }
  }

  /// One forwarding a socket; no shared connection of the user's is used or left behind.
  static func arguments(host: String, remoteDirectory: String, directory: String) -> [String] {
    // Beside the services' own the one that disk images go through.
    let forwards = (ServiceName.allCases.map(\.rawValue) + ["nbd"]).flatMap { socket in
      ["-L", "\(directory)/\(socket).sock:\(remoteDirectory)/\(socket).sock"]
    }
    return [
      "ssh", "-N", "-T", "-o", "ControlPath=none", "-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=15",
    ]
      + forwards + ["--", host]
  }

  // MARK: Parts

  private static func isReady(_ directory: String) -> Bool {
    ServiceName.allCases.allSatisfy { access("\(directory)/\($0.rawValue).sock", F_OK) == 0 }
  }

  private static func makeDirectory() throws(Complaint) -> String {
    // Short, because a Unix socket's path has 107 bytes at most.
    var template = Array("/tmp/ftctl-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw Complaint("Cannot make a directory in /tmp: \(String(cString: strerror(errno))).", .system)
    }
    return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  private static func removeDirectory(_ directory: String) {
    try? FileManager.default.removeItem(atPath: directory)
  }

  private static func lastLine(_ path: String) -> String? {
    guard let text = try? InputFile.text(path, atMost: 1 << 20) else { return nil }
    let line = text.split(whereSeparator: \.isNewline).last { !$0.hasPrefix("Warning: Permanently added") }
    return line.map { String($0.last == "." ? $0.dropLast() : $0) }
  }

  /// Starts ssh on a thread that waits for it: the kernel ends ssh when that thread ends, which is when ftctl does.
  private static func start(
    _ arguments: [String], errors: String, _ ending: Ending
  ) async throws(Complaint) -> Int32 {
    let result: Result<Int32, Complaint> = await withCheckedContinuation { continuation in
      OwnThread.start {
        let result = spawn(arguments, errors)
        continuation.resume(returning: result)
        guard case .success(let process) = result else { return }
        while waitpid(process, nil, 0) < 0 && errno == EINTR {}
        ending.end()
      }
    }
    return try result.get()
  }

  /// Whether ssh has ended.
  private final class Ending: Sendable {
    private let ended = Mutex(false)
    var hasEnded: Bool { ended.withLock { $0 } }
    func end() { ended.withLock { $0 = true } }
  }

  private static func spawn(_ arguments: [String], _ errors: String) -> Result<Int32, Complaint> {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    let command = ["setpriv", "--pdeathsig", "TERM", "--"] + arguments
    let variables = ProcessInfo.processInfo.environment.map { "\($0.key)=\($0.value)" }
    let copies = command.map { strdup($0) }
    let environment = variables.map { strdup($0) }
    defer { for copy in copies + environment { free(copy) } }
    var process: pid_t = 0
    let code = posix_spawnp(&process, "setpriv", &actions, nil, copies + [nil], environment + [nil])
    guard code == 0 else {
      return .failure(Complaint("Cannot start ssh: \(String(cString: strerror(code))).", .system))
    }
    return .success(process)
  }
}
