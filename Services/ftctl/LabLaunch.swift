import Dispatch
import FTVSClient
import FoundationEssentials
import Glibc
import Lab
import LabAPI
import Logging
import Primitives
import RPC

/// Starts the process of a lab.
struct LabLaunch: Sendable {
  let directory: String
  let heartbeatBoundMilliseconds: Int?

  private var paths: LabPaths { LabPaths(directory: directory) }

  /// Longest wait until every unit is ready.
  private static let patience = Duration.seconds(60)
  /// Time after which units that only fail are not waited for any longer.
  private static let failurePatience = Duration.seconds(10)

  /// What to say when it runs.
  var welcome: String {
    let isDefault = directory == RunDirectory.defaultLab
    let select = isDefault ? "" : "\n  export FTVS_RUN_DIRECTORY=\(paths.run)"
    return """
      A lab runs in \(directory); its units log to \(paths.log).
      Next:\(select)
        ftctl status
        ftctl lab down\(isDefault ? "" : " --directory \(directory)")
      """
  }

  // MARK: In this process

  /// Runs the lab until a signal or `ftctl lab down` ends it.
  func runHere() async throws {
    LoggingSystem.bootstrap(StreamLogHandler.standardError)
    var configuration = LabConfiguration(directory: directory, binaries: Self.binaries())
    configuration.heartbeatBoundMilliseconds = heartbeatBoundMilliseconds
    configuration.ownsProcess = true
    let lab = try await Lab.start(configuration, logger: Logger(label: "lab"))
    let stopper = SignalSources([SIGINT, SIGTERM]) { Task { await lab.end() } }
    // A lab that was started from a terminal goes on when that is closed.
    signal(SIGHUP, SIG_IGN)
    defer { stopper.cancel() }
    try await lab.run()
  }

  /// Where the services' programs are: FTVS_BINARIES, or beside this program.
  static func binaries() -> String {
    if let named = ProcessInfo.processInfo.environment["FTVS_BINARIES"], !named.isEmpty { return named }
    let program = executable()
    return program.lastIndex(of: "/").map { String(program[..<$0]) } ?? "."
  }

  private static func executable() -> String {
    var bytes = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink("/proc/self/exe", &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  // MARK: In a process of its own

  /// Starts the lab in the background and waits until every unit is ready.
  func runApart() async throws {
    if Lab.isRunning(in: directory) {
      throw Complaint("A lab runs in \(directory) already: ftctl lab status shows it, ftctl lab down ends it.")
    }
    let log = "\(paths.log)/lab.log"
    do { try FileManager.default.createDirectory(atPath: paths.log, withIntermediateDirectories: true) } catch {
      throw Complaint("Cannot make the directory \(paths.log): \(error).", .system)
    }
    let logged = Int64((try? FileManager.default.attributesOfItem(atPath: log)[.size] as? Int) ?? 0)
    let begin = ContinuousClock.now
    let process = try spawn(log: log)
    let progress = Progress()
    defer { progress.clear() }
    let session = Session(directory: paths.run, output: .json, timeout: .seconds(2))
    while true {
      if waitpid(process, nil, WNOHANG) != 0 { throw Complaint(Self.reason(log, after: logged)) }
      if let units = try? await session.call(ListLabUnits.self, Nothing(), on: .lab).units {
        // Guests come and go; the services are what a host must have.
        let late = units.filter { $0.activeState != "active" && !$0.unit.hasPrefix("ftvs-guest-") }
        if late.isEmpty { return }
        progress.show("Starting the lab: \(units.count - late.count) of \(units.count) units are ready")
        let isHopeless = late.allSatisfy { !$0.isStarting } && ContinuousClock.now > begin + Self.failurePatience
        if isHopeless || ContinuousClock.now > begin + Self.patience { throw lateUnits(late, log) }
      } else if ContinuousClock.now > begin + Self.patience {
        throw Complaint("The lab does not answer; \(log) says more.", .timedOut)
      }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  private func lateUnits(_ units: [LabUnit], _ log: String) -> Complaint {
    let names = units.map(\.unit).joined(separator: ", ")
    let file = units.first.map { paths.log(of: $0.unit) } ?? log
    let last = (try? InputFile.text(file, atMost: 1 << 28))?.split(separator: "\n").last
    return Complaint(
      "The lab runs, but these units are not ready: \(names).\n\(file) ends with: \(last ?? "nothing")", .timedOut)
  }

  /// Waits until a lab that was told to end has let go of its directory.
  static func awaitEnd(in directory: String) async throws {
    let deadline = ContinuousClock.now + .seconds(10)
    while Lab.isRunning(in: directory) {
      guard ContinuousClock.now < deadline else {
        throw Complaint("The lab in \(directory) does not end.", .timedOut)
      }
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  /// What the lab said before it ended.
  private static func reason(_ log: String, after begin: Int64) -> String {
    let text = (try? InputFile.text(log, atMost: 1 << 28)).map {
      String(decoding: $0.utf8.dropFirst(Int(begin)), as: UTF8.self)
    }
    let lines = (text ?? "").split(separator: "\n").suffix(3).map { line in
      line.hasPrefix("ftctl: ") ? String(line.dropFirst(7)) : String(line)
    }
    return lines.isEmpty ? "The lab ended without a word; see \(log)." : lines.joined(separator: "\n")
  }

  private func spawn(log: String) throws(Complaint) -> Int32 {
    var arguments = [Self.executable(), "lab", "up", "--foreground", "--directory", directory]
    if let heartbeatBoundMilliseconds { arguments += ["--heartbeat-bound", "\(heartbeatBoundMilliseconds)"] }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // A session of its own: the terminal's signals are not for the lab.
    posix_spawnattr_setflags(&attributes, 0x80)
    let variables = ProcessInfo.processInfo.environment.map { "\($0.key)=\($0.value)" }
    let copies = arguments.map { strdup($0) }
    let environment = variables.map { strdup($0) }
    defer { for copy in copies + environment { free(copy) } }
    var process: pid_t = 0
    let code = posix_spawn(&process, arguments[0], &actions, &attributes, copies + [nil], environment + [nil])
    guard code == 0 else { throw Complaint("Cannot start the lab: \(String(cString: strerror(code))).", .system) }
    return process
  }
}

extension LabUnit {
  /// Whether it is on its way, and has not failed before.
  fileprivate var isStarting: Bool { activeState == "activating" && result == "success" }
}
