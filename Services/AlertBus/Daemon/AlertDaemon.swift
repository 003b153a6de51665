import AlertAPI
import AlertBusCore
import DaemonKit
import Primitives
import RPC

/// Puts the alert bus together, for this host or for a rehearsal.
enum AlertDaemon {
  static func activate(_ activation: Activation) async throws -> ActiveService {
    let log = try await AlertLog(activation.state, now: wallClockMilliseconds)
    return ActiveService(router: log.router(version: Daemon.version), metrics: { await log.metrics() })
  }

  static func rehearse(_ activation: Activation) async throws -> RehearsedService {
    let log = try await AlertLog(activation.state, now: wallClockMilliseconds)
    let time = wallClockMilliseconds()
    let alert = NewAlert(
      key: .random(millisecondsSinceEpoch: time), timeMilliseconds: time, severity: .info, source: .alerts,
      kind: "rehearsal", subject: "alerts", message: "A rehearsal.", data: [:])
    return RehearsedService(
      router: log.router(version: Daemon.version),
      calls: [
        ("alert.append", try WireCoder.encode(AppendAlerts.Params(alerts: [alert]))), ("alert.list", [:]),
      ])
  }
}
