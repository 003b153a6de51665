import BlockLayers
import Dispatch
import Glibc
import Synchronization

struct BenchError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

/// A program that the benchmark started, and its standard output.
///
/// Its calls block: the benchmark has nothing else to do, and what it measures runs in other processes.
final class BenchProcess {
  let identifier: pid_t
  private let output: UnsafeMutablePointer<FILE>
  private var isRunning = true

  /// This very program.
  static var ownPath: String {
    var path = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink("/proc/self/exe", &path, path.count - 1)
    return String(decoding: path.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  /// Starts a program, which is looked for in `PATH`. With `isSilent` nothing of its error output is shown.
  init(_ arguments: [String], isSilent: Bool = false) throws {
    guard let program = arguments.first else { throw BenchError("No program.") }
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw Self.error("pipe") }
    defer { close(ends[1]) }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    let (result, identifier) = Self.start(program, arguments, output: ends[1], isSilent: isSilent)
    guard result == 0, let output = fdopen(ends[0], "r") else {
      close(ends[0])
      throw BenchError("\(program): \(String(cString: strerror(result)))")
    }
    self.identifier = identifier
    self.output = output
  }

  /// Starts it on a thread that lives as long as the program does: some ask the kernel to end them with the thread that started
  /// them (nbdkit does), and those of Swift's pool come and go.
  private static func start(
    _ program: String, _ arguments: [String], output: Int32, isSilent: Bool
  ) -> (result: Int32, identifier: pid_t) {
    let outcome = StartOutcome()
    let hasThread = IOThread.start(name: "bench-process") {
      let (result, identifier) = spawn(program, arguments, output: output, isSilent: isSilent)
      outcome.set((result, identifier))
      guard result == 0 else { return }
      var information = siginfo_t()
      while waitid(P_PID, id_t(identifier), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
    }
    return hasThread ? outcome.get() : (EAGAIN, 0)
  }

  private static func spawn(
    _ program: String, _ arguments: [String], output: Int32, isSilent: Bool
  ) -> (result: Int32, identifier: pid_t) {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, output, 1)
    if isSilent { posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0) }
    // The threads of Swift's pool block the signals that end a program.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var noSignals = sigset_t()
    sigemptyset(&noSignals)
    posix_spawnattr_setsigmask(&attributes, &noSignals)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    var strings: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { for string in strings { free(string) } }
    var identifier: pid_t = 0
    let result = posix_spawnp(&identifier, program, &actions, &attributes, &strings, environ)
    return (result, identifier)
  }

  deinit {
    stop()
    fclose(output)
  }

  /// Runs a program to its end and returns what it printed.
  static func output(of arguments: [String], isSilent: Bool = false) throws -> String {
    let process = try BenchProcess(arguments, isSilent: isSilent)
    var text = ""
    while let line = process.line() { text += line + "\n" }
    let status = process.wait()
    guard status == 0 else { throw BenchError("\(arguments.joined(separator: " ")) ended with status \(status).") }
    return text
  }

  /// The next line that the program prints; nil when it prints no more.
  func line() -> String? {
    var line: UnsafeMutablePointer<CChar>?
    var room = 0
    defer { free(line) }
    guard getline(&line, &room, output) > 0, let line else { return nil }
    let text = String(cString: line)
    return text.last == "\n" ? String(text.dropLast()) : text
  }

  /// Ends the program.
  func stop() {
    guard isRunning else { return }
    kill(identifier, SIGTERM)
    _ = wait()
  }

  /// Waits for the program's end; what `waitpid` says of it.
  private func wait() -> Int32 {
    var status: Int32 = 0
    while waitpid(identifier, &status, 0) < 0, errno == EINTR {}
    isRunning = false
    return status
  }

  private static func error(_ what: String) -> BenchError { BenchError("\(what): \(String(cString: strerror(errno)))") }
}

/// What became of starting a program, on its way from the thread that did it.
private final class StartOutcome: Sendable {
  private let value = Mutex<(Int32, pid_t)>((0, 0))
  private let isKnown = DispatchSemaphore(value: 0)

  func set(_ outcome: (Int32, pid_t)) {
    value.withLock { $0 = outcome }
    isKnown.signal()
  }

  func get() -> (Int32, pid_t) {
    isKnown.wait()
    return value.withLock { $0 }
  }
}

/// A directory of the benchmark's own, removed at its end.
final class BenchDirectory {
  let path: String

  /// - Parameter parent: where it is made: what is to be on a disk belongs in `/var/tmp`.
  init(in parent: String = "/tmp") throws {
    var template = Array("\(parent)/ftvs-bench-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw BenchError("mkdtemp: \(String(cString: strerror(errno)))") }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  deinit { _ = try? BenchProcess.output(of: ["rm", "-rf", path]) }

  func write(_ bytes: [UInt8], to name: String) throws -> String {
    let file = "\(path)/\(name)"
    guard let stream = fopen(file, "w") else { throw BenchError("\(file): \(String(cString: strerror(errno)))") }
    let written = fwrite(bytes, 1, bytes.count, stream)
    guard fclose(stream) == 0, written == bytes.count else { throw BenchError("\(file) could not be written.") }
    return file
  }
}
