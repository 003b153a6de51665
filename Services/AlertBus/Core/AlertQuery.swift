import AlertAPI
import GRDB

/// The SQL of a list of alerts.
struct AlertQuery: Sendable {
  private let conditions: [String]
  private let values: [DatabaseValue]
  private let isNewest: Bool
  private let limit: Int

  init(_ params: ListAlerts.Params, limit: Int) {
    var conditions: [String] = []
    var values: [DatabaseValue] = []
    func add(_ condition: String, _ value: (any DatabaseValueConvertible)?) {
      guard let value else { return }
      conditions.append(condition)
      values.append(value.databaseValue)
    }
    add("sequence > ?", params.afterSequence)
    add("severity >= ?", params.minimumSeverity?.rank)
    add("subject = ?", params.subject)
    add("kind = ?", params.kind)
    add("state = ?", params.state?.rawValue)
    self.conditions = conditions
    self.values = values
    self.limit = limit
    isNewest = params.newest ?? false
  }

  /// The alerts, oldest first; fewer than asked for when they are large.
  func fetch(_ database: Database, bytes: Int) throws -> [AlertRecord] {
    let filter = conditions.isEmpty ? "" : "WHERE " + conditions.joined(separator: " AND ")
    let rows = try Row.fetchCursor(
      database, sql: "SELECT * FROM alert \(filter) ORDER BY sequence \(isNewest ? "DESC" : "ASC") LIMIT \(limit)",
      arguments: StatementArguments(values))
    var alerts: [AlertRecord] = []
    var taken = 0
    while let row = try rows.next() {
      taken += AlertTable.size(row)
      if taken > bytes, !alerts.isEmpty { break }
      alerts.append(try AlertTable.record(row))
    }
    return isNewest ? alerts.reversed() : alerts
  }
}
