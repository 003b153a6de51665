import AlertAPI
import ControlState
import FoundationEssentials
import Glibc
import Logging
import Primitives
import RPC

@testable import AlertBusCore

/// An alert service over two legs in a directory of its own.
final class AlertFixture: Sendable {
  let root = FileManager.default.temporaryDirectory.path + "/ftvs-alerts-\(UInt64.random(in: .min ... .max))"

  init() {
    for directory in ["io0", "io1", "local"] {
      try? FileManager.default.createDirectory(atPath: "\(root)/\(directory)", withIntermediateDirectories: true)
    }
  }

  deinit { try? FileManager.default.removeItem(atPath: root) }

  func open() async throws -> ControlState {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    var configuration = ControlState.Configuration(
      service: .alerts, legDirectories: [.io0: "\(root)/io0/alerts", .io1: "\(root)/io1/alerts"],
      witness: "\(root)/local/witness.json", shotMarks: [:], migrations: AlertLog.migrations)
    configuration.watchInterval = .milliseconds(10)
    return try await ControlState.open(configuration, logger: logger)
  }

  func log(_ limits: AlertLimits = AlertLimits()) async throws -> AlertLog {
    try await AlertLog(try await open(), limits: limits, now: { 5_000 })
  }

  static func alert(
    _ number: Int, _ severity: Severity = .warning, kind: String = "moduleFailed", subject: String = "cpu0"
  ) -> NewAlert {
    NewAlert(
      key: RequestKey.random(millisecondsSinceEpoch: 1), timeMilliseconds: Int64(number), severity: severity,
      source: .hardware, kind: kind, subject: subject, message: "Alert \(number).",
      data: ["number": .integer(Int64(number))])
  }
}

extension AlertLog {
  @discardableResult
  func add(_ alerts: NewAlert...) async throws(RPCError) -> [Int64] {
    try await append(AppendAlerts.Params(alerts: alerts)).sequences
  }

  func caller(_ caller: Caller = .root) -> RouterCaller { RouterCaller(router(version: "1"), as: caller) }
}
