import GRDB
import Primitives

/// What a leg's database says about itself.
struct LegHeader: Sendable, Hashable {
  /// Random identifier of the host that set the legs up.
  var host: String
  var service: String
  /// Drawn anew at each change of membership.
  var generation: GenerationID
  /// When that was, in milliseconds since 1970.
  var generationMilliseconds: Int64
  /// The legs in step in this generation.
  var members: Set<LegID>
  /// False while the leg is still getting what it missed.
  var isComplete: Bool
  /// Transactions so far; grows by one with each.
  var sequence: Int64
  /// Times that the state was opened to serve.
  var epoch: Int64
  /// Migrations applied.
  var migrations: Int
  /// Request keys drawn at or before this time were forgotten; milliseconds since 1970.
  var requestFloor: Int64
  /// Generations before this one that it holds all of.
  var ancestors: Set<GenerationID>

  /// Ancestors that are kept. A leg that missed more changes of membership than these counts as split.
  static let ancestorLimit = 10_000

  /// Whether everything acknowledged in that generation is part of this leg's history.
  func includes(_ other: GenerationID) -> Bool { generation == other || ancestors.contains(other) }

  static let schema = """
    CREATE TABLE ftvs_state (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      host TEXT NOT NULL, service TEXT NOT NULL,
      generation TEXT NOT NULL, generation_milliseconds INTEGER NOT NULL,
      members TEXT NOT NULL, complete INTEGER NOT NULL,
      sequence INTEGER NOT NULL, epoch INTEGER NOT NULL, migrations INTEGER NOT NULL,
      request_floor INTEGER NOT NULL);
    CREATE TABLE ftvs_ancestor (
      position INTEGER PRIMARY KEY, generation TEXT NOT NULL UNIQUE,
      members TEXT NOT NULL, until_milliseconds INTEGER NOT NULL);
    CREATE TABLE ftvs_redo (id INTEGER PRIMARY KEY CHECK (id = 1), sequence INTEGER NOT NULL, statements BLOB);
    CREATE TABLE ftvs_request (
      key TEXT PRIMARY KEY, drawn INTEGER NOT NULL, method TEXT NOT NULL,
      fingerprint TEXT NOT NULL, answer TEXT NOT NULL) WITHOUT ROWID;
    CREATE INDEX ftvs_request_drawn ON ftvs_request (drawn);
    """

  /// Reads it from a database whose content may be anything.
  static func read(_ database: Database) throws -> LegHeader {
    guard let row = try Row.fetchOne(database, sql: "SELECT * FROM ftvs_state WHERE id = 1"),
      let host: String = row.text("host"), let service: String = row.text("service"),
      let generation = row.text("generation").flatMap(GenerationID.init(rawValue:)),
      let time = row.number("generation_milliseconds"), let members = row.text("members"),
      let complete = row.number("complete"), let sequence = row.number("sequence"), sequence >= 0,
      let epoch = row.number("epoch"), epoch >= 0, let migrations = row.number("migrations"),
      let floor = row.number("request_floor")
    else { throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "the leg's own record is not readable") }
    var ancestors: Set<GenerationID> = []
    let rows = try Row.fetchCursor(
      database, sql: "SELECT generation FROM ftvs_ancestor ORDER BY position DESC LIMIT \(ancestorLimit)")
    while let row = try rows.next() {
      if let ancestor = row.text("generation").flatMap(GenerationID.init(rawValue:)) { ancestors.insert(ancestor) }
    }
    return LegHeader(
      host: host, service: service, generation: generation, generationMilliseconds: time,
      members: decode(members: members), isComplete: complete == 1, sequence: sequence, epoch: epoch,
      migrations: Int(clamping: migrations), requestFloor: floor, ancestors: ancestors)
  }

  /// Writes the first one.
  func insert(_ database: Database) throws {
    try database.execute(
      sql: "INSERT INTO ftvs_state VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      arguments: [
        host, service, generation.rawValue, generationMilliseconds, Self.encode(members: members),
        isComplete ? 1 : 0, sequence, epoch, migrations, requestFloor,
      ])
  }

  /// Writes what differs from `old`, which the database holds. `complete` is the leg's own affair and not touched.
  func update(_ database: Database, from old: LegHeader) throws {
    try database.execute(
      sql: "UPDATE ftvs_state SET sequence = ?, epoch = ?, migrations = ?, request_floor = ? WHERE id = 1",
      arguments: [sequence, epoch, migrations, requestFloor])
    guard generation != old.generation else { return }
    try database.execute(
      sql: "UPDATE ftvs_state SET generation = ?, generation_milliseconds = ?, members = ? WHERE id = 1",
      arguments: [generation.rawValue, generationMilliseconds, Self.encode(members: members)])
    for ancestor in ancestors.subtracting(old.ancestors).sorted(by: { $0.rawValue < $1.rawValue }) {
      try database.execute(
        sql: "INSERT OR IGNORE INTO ftvs_ancestor (generation, members, until_milliseconds) VALUES (?, ?, ?)",
        arguments: [ancestor.rawValue, Self.encode(members: old.members), generationMilliseconds])
    }
    try database.execute(
      sql:
        "DELETE FROM ftvs_ancestor WHERE position <= (SELECT max(position) FROM ftvs_ancestor) - \(Self.ancestorLimit)")
  }

  static func encode(members: Set<LegID>) -> String { members.map(\.rawValue).sorted().joined(separator: " ") }

  static func decode(members: String) -> Set<LegID> {
    Set(members.split(separator: " ").compactMap { LegID(rawValue: String($0)) })
  }
}

extension Row {
  /// The text of a column, or nil when it holds something else: files of legs may hold anything.
  func text(_ column: String) -> String? {
    guard let value: DatabaseValue = self[column] else { return nil }
    return String.fromDatabaseValue(value)
  }

  /// The integer of a column, or nil when it holds something else.
  func number(_ column: String) -> Int64? {
    guard let value: DatabaseValue = self[column], case .int64(let number) = value.storage else { return nil }
    return number
  }
}
