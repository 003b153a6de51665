import DaemonKit
import VMMonitorCore

let description = DaemonDescription(
  service: .vm, migrations: VMMonitor.migrations, rehearse: VMDaemon.rehearse)

await Daemon.main(description, activate: VMDaemon.activate)
