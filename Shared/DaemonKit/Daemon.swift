import ControlState
import FTVSClient
import Glibc
import HostConfiguration
import Logging
import Primitives
import RPC
import RPCSocket
import ServiceLifecycle
import Synchronization
import Systemd

/// What all daemons do alike: start ready but idle, wait for the lease, serve while it is held, hand over in good order.
public enum Daemon {
  /// Version of the software.
  public static let version = DaemonArguments.version

  /// Runs a daemon until it is told to end. Called once, first thing in `main.swift`.
  public static func main(
    _ description: DaemonDescription,
    activate: @escaping @Sendable (Activation) async throws -> ActiveService
  ) async -> Never {
    let process = startProcess()
    let logger = Logger(label: "ftvs-\(description.service.rawValue)")
    let listeners: [String: Int32]
    do {
      listeners = try SocketActivation.take(requiring: [description.service.rawValue] + description.otherListeners)
    } catch {
      logger.critical("\(error)")
      exit(EX_CONFIG)
    }
    let server = ServerBox()
    let instance = Instance(
      description: description, process: process, listeners: listeners, server: server, logger: logger,
      activate: activate)
    let services: [any Service] = [
      instance, WatchdogService(notifier: process.notifier, server: server),
      ReloadService(notifier: process.notifier, threshold: process.threshold, logger: logger),
    ]
    let group = ServiceGroup(
      configuration: .init(
        services: services.map {
          .init(
            service: $0, successTerminationBehavior: .gracefullyShutdownGroup, failureTerminationBehavior: .cancelGroup)
        }, gracefulShutdownSignals: [.sigterm, .sigint],
        logger: Logger(label: "lifecycle", factory: { _ in SwiftLogNoOpLogHandler() })))
    do {
      try await group.run()
      exit(EXIT_SUCCESS)
    } catch {
      logger.critical("The service ends: \(error)")
      exit(EXIT_FAILURE)
    }
  }

  /// What a process takes from its surroundings first: arguments, configuration, log, manager.
  public static func startProcess(identifier: String? = nil) -> DaemonProcess {
    let program = CommandLine.arguments.first?.split(separator: "/").last.map(String.init) ?? "ftvs"
    let environment = environmentVariables()
    let threshold = DaemonLogHandler.Threshold(.info)
    let destination = DaemonLogHandler.Destination.ofThisProcess()
    LoggingSystem.bootstrap { _ in
      DaemonLogHandler(identifier: identifier ?? program, destination: destination, threshold: threshold)
    }
    do throws(DaemonArguments.Outcome) {
      let arguments = try DaemonArguments.parse(CommandLine.arguments, environment: environment)
      threshold.level = logLevel(environment, arguments.configuration)
      return DaemonProcess(
        module: arguments.module, configuration: arguments.configuration, paths: HostPaths(arguments.configuration),
        notifier: Notifier.take(), threshold: threshold)
    } catch {
      switch error {
      case .print(let text):
        print(text)
        exit(EXIT_SUCCESS)
      case .wrong(let reason):
        Logger(label: program).critical("\(reason)")
        exit(EX_USAGE)
      }
    }
  }

  /// The environment's level, else the configuration's, else `info`.
  static func logLevel(_ environment: [String: String], _ configuration: HostConfiguration) -> Logger.Level {
    (environment["FTVS_LOG_LEVEL"] ?? configuration.logLevel).flatMap { Logger.Level(rawValue: $0) } ?? .info
  }

  static func environmentVariables(_ names: [String] = ["FTVS_CONFIGURATION", "FTVS_LOG_LEVEL"]) -> [String: String] {
    var values: [String: String] = [:]
    for name in names { values[name] = getenv(name).map { String(cString: $0) } }
    return values
  }
}

/// What a process took from its surroundings.
public struct DaemonProcess: Sendable {
  public let module: ModuleID
  public let configuration: HostConfiguration
  public let paths: HostPaths
  public let notifier: Notifier
  /// The level below which nothing is logged.
  public let threshold: DaemonLogHandler.Threshold
}

/// The server that is serving now, for those that watch it.
final class ServerBox: Sendable {
  private let current = Mutex<RPCServer?>(nil)

  var server: RPCServer? {
    get { current.withLock { $0 } }
    set { current.withLock { $0 = newValue } }
  }
}
