import Glibc
import HostConfiguration
import Logging
import Primitives
import Systemd

/// What a daemon finds when it starts: its module, the configuration, its sockets, whom to notify, where to log.
public struct DaemonProcess: Sendable {
  public var module: ModuleID
  public var configuration: HostConfiguration
  public var paths: HostPaths
  /// Listening sockets by name.
  public var listeners: [String: Int32]
  public var notifier: Notifier
  public var logger: Logger
  /// The level of all loggers that do not set one.
  public var threshold: DaemonLogHandler.Threshold

  /// Takes the environment of this process over, once, at its very start. Ends the process with an explanation when there is
  /// something wrong with it, and after `--help` and `--version`.
  ///
  /// - Parameters:
  ///   - program: The daemon's name, such as `ftvs-storage`.
  ///   - listeners: Names of the sockets that it needs.
  public static func take(program: String, listeners names: [String]) -> DaemonProcess {
    let module: ModuleID
    switch DaemonArguments(Array(CommandLine.arguments.dropFirst())) {
    case .run(let named): module = named
    case .help: finish(DaemonArguments.usage(program), STDOUT_FILENO, EXIT_SUCCESS)
    case .version: finish("\(program) \(Daemon.version)", STDOUT_FILENO, EXIT_SUCCESS)
    case .wrong(let problem):
      finish("\(program): \(problem)\n\n\(DaemonArguments.usage(program))", STDERR_FILENO, 64)
    }
    // A peer that leaves is an error of a write, not the end of the process.
    signal(SIGPIPE, SIG_IGN)
    do {
      let listeners = try SocketActivation.take(requiring: names)
      let configuration = try ConfigurationFile.load()
      return DaemonProcess(
        program: program, module: module, configuration: configuration, listeners: listeners,
        notifier: Notifier.take())
    } catch {
      finish("\(program): \(error)", STDERR_FILENO, 78)
    }
  }

  private init(
    program: String, module: ModuleID, configuration: HostConfiguration, listeners: [String: Int32], notifier: Notifier
  ) {
    self.module = module
    self.configuration = configuration
    self.listeners = listeners
    self.notifier = notifier
    paths = HostPaths(configuration)
    let threshold = DaemonLogHandler.Threshold(Self.level(configuration))
    let destination = DaemonLogHandler.Destination.ofThisProcess()
    LoggingSystem.bootstrap { _ in
      DaemonLogHandler(identifier: program, destination: destination, threshold: threshold)
    }
    self.threshold = threshold
    var logger = Logger(label: program)
    logger[metadataKey: "module"] = "\(module.rawValue)"
    self.logger = logger
  }

  /// An environment made of its parts: for tests.
  init(
    module: ModuleID, configuration: HostConfiguration, listeners: [String: Int32], notifier: Notifier, logger: Logger
  ) {
    self.module = module
    self.configuration = configuration
    self.listeners = listeners
    self.notifier = notifier
    self.logger = logger
    paths = HostPaths(configuration)
    threshold = DaemonLogHandler.Threshold(Self.level(configuration))
  }

  /// The level that `FTVS_LOG_LEVEL`, else the configuration asks for.
  static func level(_ configuration: HostConfiguration) -> Logger.Level {
    let name = getenv("FTVS_LOG_LEVEL").map { String(cString: $0) } ?? configuration.logLevel
    return name.flatMap { Logger.Level(rawValue: $0) } ?? .info
  }

  private static func finish(_ text: String, _ descriptor: Int32, _ status: Int32) -> Never {
    let line = Array((text + "\n").utf8)
    _ = write(descriptor, line, line.count)
    exit(status)
  }
}
