import AlertAPI
import ControlState
import GRDB
import Primitives
import RPC
import ServiceAPI

/// The durable, numbered record of what an operator or an integrator should know.
public final class AlertLog: Sendable {
  /// What the service's database is made of.
  public static var migrations: [String] { AlertTable.migrations }

  let state: ControlState
  let limits: AlertLimits
  let arrivals: Arrivals
  private let now: @Sendable () -> Int64

  /// A log in this state, whose `migrations` are this type's. `now` gives milliseconds since 1970.
  public init(
    _ state: ControlState, limits: AlertLimits = AlertLimits(), now: @escaping @Sendable () -> Int64
  ) async throws(RPCError) {
    self.state = state
    self.limits = limits
    self.now = now
    arrivals = Arrivals(last: try await state.read { try AlertTable.range($0).last })
  }

  /// Records alerts durably and answers the number of each. One whose key is known keeps the number it has.
  public func append(_ params: AppendAlerts.Params) async throws(RPCError) -> AppendAlerts.Result {
    guard params.alerts.count <= limits.appended else {
      throw RPCError(
        CommonFailure.invalidParams,
        "\(params.alerts.count) alerts at once are too many; send at most \(limits.appended) in a call.")
    }
    for (index, alert) in params.alerts.enumerated() { try check(alert, index) }
    let held = Int64(limits.held)
    let (sequences, last) = try await state.write { transaction in
      let range = try AlertTable.range(transaction.database)
      var last = range.last
      var sequences: [Int64] = []
      for alert in params.alerts {
        if let known = try Int64.fetchOne(
          transaction.database, sql: "SELECT sequence FROM alert WHERE key = ?", arguments: [alert.key.rawValue])
        {
          sequences.append(known)
          continue
        }
        last += 1
        try Self.insert(alert, last, &transaction)
        sequences.append(last)
      }
      guard last != range.last else { return (sequences, last) }
      let first = max(range.first, last - held + 1)
      if first > range.first { try transaction.execute("DELETE FROM alert WHERE sequence < ?", [first]) }
      try transaction.execute("UPDATE alert_log SET first = ?, last = ?", [first, last])
      return (sequences, last)
    }
    arrivals.advance(to: last)
    return AppendAlerts.Result(sequences: sequences)
  }

  private static func insert(_ alert: NewAlert, _ sequence: Int64, _ transaction: inout Transaction) throws {
    let data = JSONObject(
      uniqueMembers: alert.data.sorted { $0.key < $1.key }.map { JSONObject.Member($0.key, $0.value) })
    try transaction.execute(
      """
      INSERT INTO alert (sequence, key, time, severity, source, kind, subject, message, data, state)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """,
      [
        sequence, alert.key.rawValue, alert.timeMilliseconds, alert.severity.rank, alert.source.rawValue, alert.kind,
        alert.subject, alert.message, JSON.text(.object(data)),
        (alert.severity == .info ? AlertState.recorded : .open).rawValue,
      ])
  }

  private func check(_ alert: NewAlert, _ index: Int) throws(RPCError) {
    let data = JSONObject(uniqueMembers: alert.data.map { JSONObject.Member($0.key, $0.value) })
    let sizes = [
      ("kind", alert.kind.utf8.count, limits.kindBytes), ("subject", alert.subject.utf8.count, limits.subjectBytes),
      ("message", alert.message.utf8.count, limits.messageBytes),
      ("data", JSON.bytes(.object(data)).count, limits.dataBytes),
    ]
    for (name, size, limit) in sizes where size > limit {
      throw RPCError(
        AlertFailure.alertTooLarge,
        "The \(name) of alert \(index) has \(size) bytes; at most \(limit) are kept. Shorten it.",
        data: ["index": .integer(Int64(index)), "key": .string(alert.key.rawValue)])
    }
  }

  /// Lists alerts that match, oldest first.
  public func list(_ params: ListAlerts.Params) async throws(RPCError) -> ListAlerts.Result {
    let limit = max(1, min(params.limit ?? limits.listed, limits.listedAtMost))
    let query = AlertQuery(params, limit: limit)
    let bytes = limits.answerBytes
    return try await state.read { database in
      let range = try AlertTable.range(database)
      return ListAlerts.Result(
        alerts: try query.fetch(database, bytes: bytes), firstSequence: range.first, lastSequence: range.last)
    }
  }

  /// Marks open alerts as seen by somebody.
  public func acknowledge(
    _ params: AcknowledgeAlerts.Params, by user: String
  ) async throws(RPCError) -> AcknowledgeAlerts.Result {
    let numbers = params.sequences ?? []
    guard !numbers.isEmpty || params.throughSequence != nil else {
      throw RPCError(CommonFailure.invalidParams, "Say which alerts: sequences, throughSequence, or both.")
    }
    guard numbers.count <= limits.acknowledged, (params.note?.count ?? 0) <= limits.noteCharacters else {
      throw RPCError(
        CommonFailure.invalidParams,
        "Send at most \(limits.acknowledged) numbers and a note of at most \(limits.noteCharacters) characters.")
    }
    let time = now()
    let mark =
      "UPDATE alert SET state = 'acknowledged', acknowledged_by = ?, acknowledged = ?, note = ? WHERE state = 'open' AND "
    let note = params.note
    return try await state.write { transaction in
      var count = 0
      for number in numbers {
        let found = try Int64.fetchOne(
          transaction.database, sql: "SELECT sequence FROM alert WHERE sequence = ?", arguments: [number])
        guard found != nil else { throw try Self.noSuchAlert(number, transaction.database) }
        try transaction.execute(mark + "sequence = ?", [user, time, note, number])
        count += transaction.database.changesCount
      }
      if let through = params.throughSequence {
        try transaction.execute(mark + "sequence <= ?", [user, time, note, through])
        count += transaction.database.changesCount
      }
      return AcknowledgeAlerts.Result(acknowledged: count)
    }
  }

  private static func noSuchAlert(_ number: Int64, _ database: Database) throws -> RPCError {
    let (first, last) = try AlertTable.range(database)
    return RPCError(
      AlertFailure.noSuchAlert,
      "The log holds no alert \(number): it holds \(first) to \(last). Nothing was acknowledged.",
      data: ["sequence": .integer(number), "firstSequence": .integer(first), "lastSequence": .integer(last)])
  }

  /// How many alerts there are, by state and severity.
  public func metrics() async -> [Metric] {
    let rows = try? await state.read { database in
      let (first, last) = try AlertTable.range(database)
      var open: [(Severity, Double)] = []
      for severity in Severity.allCases {
        let count = try Int.fetchOne(
          database, sql: "SELECT count(*) FROM alert WHERE state = 'open' AND severity = ?", arguments: [severity.rank])
        open.append((severity, Double(count ?? 0)))
      }
      return (first, last, open)
    }
    guard let (first, last, open) = rows else { return [] }
    var metrics = open.filter { $0.0 != .info }.map { severity, count in
      Metric(
        name: "openAlerts", summary: "Alerts that nobody acknowledged.", value: count,
        labels: ["severity": severity.rawValue])
    }
    metrics.append(
      Metric(name: "heldAlerts", summary: "Alerts in the log.", value: Double(last - first + 1), labels: [:]))
    metrics.append(
      Metric(name: "lastAlertSequence", summary: "Number of the newest alert.", value: Double(last), labels: [:]))
    metrics.append(
      Metric(
        name: "alertFollowersWaiting", summary: "Followers that have seen every alert.",
        value: Double(arrivals.waiting),
        labels: [:]))
    return metrics
  }
}
