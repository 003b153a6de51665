import AlertAPI
import GRDB
import Primitives
import RPC

/// The log's tables.
///
/// Numbers are without gaps, so `alert_log` tells the whole range: a number below `first` was dropped.
enum AlertTable {
  static let migrations = [
    """
    CREATE TABLE alert (
      sequence INTEGER PRIMARY KEY,
      key TEXT NOT NULL UNIQUE,
      time INTEGER NOT NULL,
      severity INTEGER NOT NULL,
      source TEXT NOT NULL,
      kind TEXT NOT NULL,
      subject TEXT NOT NULL,
      message TEXT NOT NULL,
      data TEXT NOT NULL,
      state TEXT NOT NULL,
      acknowledged_by TEXT,
      acknowledged INTEGER,
      note TEXT);
    CREATE INDEX alert_severity ON alert (severity, sequence);
    CREATE INDEX alert_kind ON alert (kind, sequence);
    CREATE INDEX alert_subject ON alert (subject, sequence);
    CREATE INDEX alert_state ON alert (state, sequence);
    CREATE TABLE alert_log (id INTEGER PRIMARY KEY CHECK (id = 1), first INTEGER NOT NULL, last INTEGER NOT NULL);
    INSERT INTO alert_log VALUES (1, 1, 0);
    """
  ]

  /// Numbers of the oldest alert held and of the newest.
  static func range(_ database: Database) throws -> (first: Int64, last: Int64) {
    guard let row = try Row.fetchOne(database, sql: "SELECT first, last FROM alert_log WHERE id = 1"),
      let first = row.number("first"), let last = row.number("last")
    else { throw unreadable }
    return (first, last)
  }

  /// The alert of a row.
  static func record(_ row: Row) throws -> AlertRecord {
    guard let sequence = row.number("sequence"), let time = row.number("time"), let severity = row.number("severity"),
      let source = row.text("source").flatMap(ServiceName.init(rawValue:)), let kind = row.text("kind"),
      let subject = row.text("subject"), let message = row.text("message"), let text = row.text("data"),
      case .object(let data) = try JSON.parse(text),
      let state = row.text("state").flatMap(AlertState.init(rawValue:))
    else { throw unreadable }
    return AlertRecord(
      sequence: sequence, timeMilliseconds: time, severity: Severity(rank: severity), source: source, kind: kind,
      subject: subject, message: message,
      data: Dictionary(data.members.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first }), state: state,
      acknowledgedBy: row.text("acknowledged_by"), acknowledgedMilliseconds: row.number("acknowledged"),
      note: row.text("note"))
  }

  /// About how many bytes an alert takes in an answer.
  static func size(_ row: Row) -> Int {
    ["kind", "subject", "message", "data", "note"].reduce(256) { $0 + (row.text($1)?.utf8.count ?? 0) }
  }

  private static var unreadable: DatabaseError {
    DatabaseError(resultCode: .SQLITE_CORRUPT, message: "an alert's row is not readable")
  }
}

extension Row {
  fileprivate func text(_ column: String) -> String? {
    guard let value: DatabaseValue = self[column] else { return nil }
    return String.fromDatabaseValue(value)
  }

  fileprivate func number(_ column: String) -> Int64? {
    guard let value: DatabaseValue = self[column], case .int64(let number) = value.storage else { return nil }
    return number
  }
}

extension Severity {
  /// Its place in the order; what is stored, so that "at least" is a comparison.
  var rank: Int64 { Int64(Severity.allCases.firstIndex(of: self) ?? 0) }

  init(rank: Int64) { self = Severity.allCases.first { $0.rank == rank } ?? .critical }
}
