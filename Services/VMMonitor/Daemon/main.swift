import DaemonKit
import VMMonitorCore

await Daemon.main(DaemonDescription(service: .vm, migrations: VMMonitor.migrations), activate: VMDaemon.activate)
