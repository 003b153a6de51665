import Glibc
import Logging
import Primitives
import ServiceLifecycle
import Systemd
import UnixSignals

/// A service of the host, as a process.
public enum Daemon {
  /// Version of the software.
  public static let version = softwareVersion

  /// Runs an instance of a service until it is told to end, or something in it ends that must not; then the process ends with
  /// a status other than 0, and is started anew. Called once, first thing in `main.swift`.
  ///
  /// - Parameter activate: Makes the service, once this instance holds the lease and its state is open. It is never called
  ///   twice in a process.
  public static func main(
    _ description: DaemonDescription, activate: @escaping @Sendable (Activation) async throws -> ActiveService
  ) async -> Never {
    let process = DaemonProcess.take(
      program: "ftvs-\(description.service.rawValue)",
      listeners: [description.service.rawValue] + description.otherListeners)
    do {
      try await group(description, process, signals: [.sigterm, .sigint], activate: activate).run()
    } catch {
      process.logger.critical("The daemon ends: \(error)")
      _exit(EXIT_FAILURE)
    }
    // Without the handlers of exit(3): threads that block, such as the one that waits for the lease, need no farewell.
    _exit(EXIT_SUCCESS)
  }

  /// What a process takes from its surroundings first: arguments, configuration, log, manager. For daemons that are no
  /// service. Ends the process with an explanation when something is wrong with it.
  public static func startProcess(identifier: String? = nil) -> DaemonProcess {
    let name = CommandLine.arguments.first?.split(separator: "/").last.map(String.init) ?? "ftvs"
    return DaemonProcess.take(program: identifier ?? name, listeners: [])
  }

  /// All that runs in a process.
  static func group(
    _ description: DaemonDescription, _ process: DaemonProcess, signals: [UnixSignal],
    activate: @escaping @Sendable (Activation) async throws -> ActiveService
  ) -> ServiceGroup {
    let instance = Instance(service: description.service, module: process.module)
    let alerts = AlertPublisher(
      directory: process.paths.spool(description.service), service: description.service, logger: process.logger)
    let serving = ServingService(
      description: description, process: process, instance: instance, alerts: alerts, activate: activate,
      roles: RoleLookup(process.configuration))
    let watchdog = WatchdogService(
      instance: instance, notifier: process.notifier, logger: process.logger,
      legAnswerBound: process.configuration.legAnswerBound)
    // They are shut down in reverse order: serving first, while the watchdog is still told.
    let services: [ServiceGroupConfiguration.ServiceConfiguration] = [
      .init(service: ReloadService(process: process)), .init(service: watchdog),
      .init(service: serving, successTerminationBehavior: .gracefullyShutdownGroup),
    ]
    var configuration = ServiceGroupConfiguration(
      services: services, gracefulShutdownSignals: signals,
      logger: Logger(label: "lifecycle", factory: { _ in SwiftLogNoOpLogHandler() }))
    configuration.maximumGracefulShutdownDuration = DaemonLimits.drainTime + .milliseconds(500)
    return ServiceGroup(configuration: configuration)
  }
}
