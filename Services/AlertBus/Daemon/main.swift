import AlertBusCore
import DaemonKit
import Primitives

await Daemon.main(DaemonDescription(service: .alerts, migrations: AlertLog.migrations)) { activation in
  let log = try await AlertLog(activation.state, now: wallClockMilliseconds)
  return ActiveService(router: log.router(version: Daemon.version), metrics: { await log.metrics() })
}
