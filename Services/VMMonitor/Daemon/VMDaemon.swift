import ControlState
import DaemonKit
import AlertAPI
import FTVSClient
import Glibc
import HostConfiguration
import Primitives
import RPC
import UnitManager
import VMMonitorCore

/// Puts the VM monitor together when this instance becomes active.
enum VMDaemon {
  static func activate(_ activation: Activation) async throws -> ActiveService {
    let monitor = try await monitor(activation)
    return ActiveService(
      router: VMService.router(monitor, version: Daemon.version), tasks: [{ try await monitor.run() }],
      metrics: { await monitor.metrics() }, drain: { await monitor.stopFollowers() })
  }

  static func rehearse(_ activation: Activation) async throws -> RehearsedService {
    let monitor = try await monitor(activation)
    // Looks, and leaves the connection to the unit manager made.
    let units = try await makeUnitManager(activation.configuration)
    _ = try? await units.isEmpty("ftvs-guest-cpu0@0.service")
    return RehearsedService(
      router: VMService.router(monitor, version: Daemon.version), calls: [("vm.list", [:])],
      end: { await monitor.stopFollowers() })
  }

  /// A monitor that knows its records and does nothing yet.
  private static func monitor(_ activation: Activation) async throws -> VMMonitor {
    guard let engine = QEMUEngine(activation.configuration) else {
      throw RPCError(CommonFailure.internalError, "No thread or descriptor is left to watch guests with.")
    }
    let units = try await makeUnitManager(activation.configuration)
    let isLab = activation.configuration.labSocket != nil
    let users = GuestUsers()
    let alerts = activation.alerts
    var timing = MonitorTiming()
    if let bound = activation.configuration.guestAnswerBoundMilliseconds { timing.answerTime = .milliseconds(bound) }
    timing.quarantine = QuarantinePolicy(activation.configuration)
    timing.legAnswer = activation.configuration.legAnswerBound
    let monitor = VMMonitor(
      MonitorEnvironment(
        state: activation.state, units: units, engine: engine, consoles: engine.consoles,
        hardware: activation.host.hardware, storage: activation.host.storage,
        publish: { severity, kind, subject, message, data in
          alerts.publish(severity, kind: kind, subject: subject, message: message, data: data)
        },
        paths: activation.paths, module: activation.module,
        bootIdentity: await BootIdentity.read(labSocket: activation.configuration.labSocket),
        guestUser: { slot in isLab ? getuid() : await users.user(slot: slot) }, timing: timing,
        logger: activation.logger))
    try await monitor.load()
    return monitor
  }
}
