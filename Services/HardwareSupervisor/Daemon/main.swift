import DaemonKit
import HardwareSupervisorCore
import HostConfiguration
import ServiceLifecycle
import UnitManager

await Daemon.main(DaemonDescription(service: .hardware, migrations: ModuleStore.migrations)) { activation in
  let paths = activation.paths
  let supervisor = HardwareSupervisor(
    limits: HardwareLimits(heartbeatBoundMilliseconds: activation.configuration.heartbeatBoundMilliseconds ?? 100),
    around: Surroundings(
      module: activation.module, boot: hostStart(), clock: SystemHostClock(),
      alerts: PublishedAlerts(publisher: activation.alerts), legs: ServiceLegs(host: activation.host),
      leases: LeaseFiles(paths: paths), marks: FileShotMarks { paths.shotMark($0) },
      processExists: processExists, waitsForProcessor: waitsForProcessor),
    units: try await makeUnitManager(activation.configuration), state: activation.state, logger: activation.logger)
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
