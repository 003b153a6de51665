import AlertBusCore
import DaemonKit

let description = DaemonDescription(
  service: .alerts, migrations: AlertLog.migrations, rehearse: AlertDaemon.rehearse)

await Daemon.main(description, activate: AlertDaemon.activate)
