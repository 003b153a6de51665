import DaemonKit
import HardwareSupervisorCore
import HostConfiguration
import Primitives
import ServiceAPI
import ServiceLifecycle
import UnitManager

/// Puts the hardware supervisor together, for this host or for a rehearsal.
enum HardwareDaemon {
  static func activate(_ activation: Activation) async throws -> ActiveService {
    let supervisor = supervisor(
      activation, units: try await makeUnitManager(activation.configuration),
      legs: ServiceLegs(host: activation.host), leases: LeaseFiles(paths: activation.paths))
    try await supervisor.start()
    return ActiveService(
      router: supervisor.router(version: Daemon.version),
      tasks: [
        {
          try await withGracefulShutdownHandler {
            try await supervisor.run()
          } onGracefulShutdown: {
            supervisor.handOver()
          }
        }
      ],
      metrics: { await supervisor.metrics() },
      drain: { await supervisor.drain() })
  }

  /// A supervisor of a host that has no units: whatever it decides ends there.
  static func rehearse(_ activation: Activation) async throws -> RehearsedService {
    // Looks, and leaves the connection to the unit manager made.
    let units = try await makeUnitManager(activation.configuration)
    _ = try? await units.status("ftvs-module@\(activation.module.rawValue).service")
    let supervisor = supervisor(activation, units: NoUnits(), legs: NoServices(), leases: NoServices())
    try await supervisor.start()
    return RehearsedService(
      router: supervisor.router(version: Daemon.version),
      calls: [("hardware.modules", [:]), ("hardware.services", [:]), ("hardware.place", [:])],
      end: { await supervisor.stop() })
  }

  private static func supervisor(
    _ activation: Activation, units: any UnitManager, legs: any LegProbe, leases: any LeaseReader
  ) -> HardwareSupervisor {
    let paths = activation.paths
    var limits = HardwareLimits(heartbeatBoundMilliseconds: activation.configuration.heartbeatBoundMilliseconds ?? 100)
    if let bound = activation.configuration.unitStartBoundMilliseconds { limits.start = Int64(bound) * 1_000_000 }
    return HardwareSupervisor(
      limits: limits,
      around: Surroundings(
        module: activation.module, boot: hostStart(), clock: SystemHostClock(),
        alerts: PublishedAlerts(publisher: activation.alerts), legs: legs, leases: leases,
        marks: FileShotMarks { paths.shotMark($0) },
        paths: FilePathMarks { paths.pathMark($0, $1) }, processExists: processExists,
        waitsForProcessor: waitsForProcessor),
      units: units, state: activation.state, logger: activation.logger)
  }
}

/// A unit manager without units.
private struct NoUnits: UnitManager {
  private func refuse(_ unit: String) throws(UnitError) -> Never { throw .noSuchUnit(unit: unit) }

  func start(_ unit: String) async throws(UnitError) -> UnitStatus { try refuse(unit) }
  func stop(_ unit: String) async throws(UnitError) { try refuse(unit) }
  func kill(_ unit: String, signal: Int32) async throws(UnitError) { try refuse(unit) }
  func status(_ unit: String) async throws(UnitError) -> UnitStatus { try refuse(unit) }
  func isEmpty(_ unitOrSlice: String) async throws(UnitError) -> Bool { true }
}

/// A host whose services do not answer.
private struct NoServices: LegProbe, LeaseReader {
  func legs(of service: ServiceName) async -> [LegStatus]? { nil }
  func check(by service: ServiceName) async {}
  func holder(of service: ServiceName) async -> Int32? { nil }
}
