import DaemonKit
import HardwareSupervisorCore

let description = DaemonDescription(
  service: .hardware, migrations: ModuleStore.migrations, rehearse: HardwareDaemon.rehearse)

await Daemon.main(description, activate: HardwareDaemon.activate)
