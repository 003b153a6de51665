import ControlState
import GRDB
import Primitives
import RPC
import VMAPI

/// The durable records, in the service's control state.
struct MachineStore: Sendable {
  /// The schema, in order.
  static let migrations = [
    """
    CREATE TABLE machine (
      name TEXT PRIMARY KEY NOT NULL, uuid TEXT NOT NULL UNIQUE, slot INTEGER NOT NULL UNIQUE,
      definition TEXT NOT NULL, autostart INTEGER NOT NULL, phase TEXT NOT NULL, module TEXT, reason TEXT,
      failovers INTEGER NOT NULL, sinceMilliseconds INTEGER, stopMilliseconds INTEGER, failedMilliseconds INTEGER,
      fromModule TEXT, lastRecovery TEXT);
    CREATE TABLE outage (
      id INTEGER PRIMARY KEY NOT NULL, machine TEXT NOT NULL, beginMilliseconds INTEGER NOT NULL,
      endMilliseconds INTEGER, planned INTEGER NOT NULL, cause TEXT NOT NULL);
    CREATE INDEX outageOfMachine ON outage (machine, id);
    CREATE TABLE setting (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL);
    """,
    """
    ALTER TABLE machine ADD COLUMN isHeld INTEGER NOT NULL DEFAULT 0;
    -- JSON of SavedState.
    ALTER TABLE machine ADD COLUMN saved TEXT;
    -- JSON: milliseconds since 1970 of the last failures that were the guest's own.
    ALTER TABLE machine ADD COLUMN failures TEXT;
    """,
    versionsMigration,
    "ALTER TABLE machine ADD COLUMN undo TEXT;",
  ]

  /// A statement to be executed in a transaction.
  struct Statement: Sendable {
    var sql: String
    var arguments: StatementArguments
  }

  let state: ControlState

  func all() async throws(RPCError) -> [MachineRecord] {
    try await state.read { database in
      try Row.fetchAll(database, sql: "SELECT * FROM machine ORDER BY name").compactMap(MachineRecord.init(row:))
    }
  }

  func setting(_ name: String) async throws(RPCError) -> String? {
    try await state.read { database in
      try String.fetchOne(database, sql: "SELECT value FROM setting WHERE name = ?", arguments: [name])
    }
  }

  /// Writes records and what changes in their accounts, and settings, as one transaction.
  func save(
    _ changes: [(MachineRecord, LedgerChange?)], settings: [String: String] = [:]
  ) async throws(RPCError) {
    var statements = changes.flatMap { Self.statements(for: $0.0, $0.1) }
    for (name, value) in settings {
      statements.append(
        Statement(sql: "INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", arguments: [name, value]))
    }
    let all = statements
    try await state.write { transaction in
      for statement in all { try transaction.execute(statement.sql, statement.arguments) }
    }
  }

  /// Forgets a virtual machine and its account.
  func remove(_ name: VMName) async throws(RPCError) {
    try await state.write { transaction in
      try transaction.execute("DELETE FROM machine WHERE name = ?", [name.rawValue])
      try transaction.execute("DELETE FROM outage WHERE machine = ?", [name.rawValue])
      let versions = Self.forgettingVersions(of: name)
      try transaction.execute(versions.sql, versions.arguments)
    }
  }

  static func statements(for record: MachineRecord, _ change: LedgerChange?) -> [Statement] {
    var statements: [Statement] = []
    switch change {
    case .up(let time):
      statements.append(
        Statement(
          sql:
            "UPDATE outage SET endMilliseconds = MAX(beginMilliseconds, ?) WHERE machine = ? AND endMilliseconds IS NULL",
          arguments: [time, record.name.rawValue]))
    case .down(let time, let planned, let cause):
      guard record.sinceMilliseconds != nil else { break }
      // An outage that lasts keeps its begin and its cause.
      statements.append(
        Statement(
          sql: """
            INSERT INTO outage (machine, beginMilliseconds, planned, cause) SELECT ?, ?, ?, ?
            WHERE NOT EXISTS (SELECT 1 FROM outage WHERE machine = ? AND endMilliseconds IS NULL)
            """,
          arguments: [record.name.rawValue, time, planned, cause, record.name.rawValue]))
    case nil: break
    }
    return [record.replacement] + statements
  }

  // MARK: Availability

  func availability(of name: VMName, at now: Int64) async throws(RPCError) -> VMAvailability? {
    try await state.read { database in try Self.availability(of: name, at: now, database) }
  }

  private static func availability(of name: VMName, at now: Int64, _ database: Database) throws -> VMAvailability? {
    guard
      let row = try Row.fetchOne(
        database, sql: "SELECT sinceMilliseconds FROM machine WHERE name = ?", arguments: [name.rawValue])
    else { return nil }
    let since: Int64 = row["sinceMilliseconds"] ?? now
    let sums = try Row.fetchAll(
      database,
      sql: """
        SELECT planned, SUM(MAX(0, COALESCE(endMilliseconds, ?) - beginMilliseconds)) AS down FROM outage
        WHERE machine = ? GROUP BY planned
        """, arguments: [now, name.rawValue])
    var down: [Bool: Int64] = [:]
    for sum in sums { down[sum["planned"]] = sum["down"] }
    let outages = try Row.fetchAll(
      database, sql: "SELECT * FROM outage WHERE machine = ? ORDER BY id DESC LIMIT 1000", arguments: [name.rawValue])
    let (planned, unplanned) = (down[true] ?? 0, down[false] ?? 0)
    let up = max(0, now - since - planned - unplanned)
    return VMAvailability(
      name: name, sinceMilliseconds: since, upMilliseconds: up, plannedDownMilliseconds: planned,
      unplannedDownMilliseconds: unplanned,
      availability: up + unplanned == 0 ? 1 : Double(up) / Double(up + unplanned),
      outages: outages.reversed().map {
        VMOutage(
          beginMilliseconds: $0["beginMilliseconds"], endMilliseconds: $0["endMilliseconds"], planned: $0["planned"],
          cause: $0["cause"])
      })
  }
}

extension MachineRecord {
  /// The record of a row; nil when the row is not one that this build can understand.
  init?(row: Row) {
    guard let nameText = row["name"] as String?, let name = VMName(rawValue: nameText),
      let phase = (row["phase"] as String?).flatMap(Phase.init(rawValue:)), let uuid = row["uuid"] as String?,
      let slot = row["slot"] as Int?, (0..<64).contains(slot), let definition = row["definition"] as String?
    else { return nil }
    self.init(name: name, uuid: uuid, slot: slot, definition: definition, autostart: row["autostart"] ?? false)
    self.phase = phase
    module = (row["module"] as String?).flatMap(ModuleID.init(rawValue:))
    reason = row["reason"]
    failovers = row["failovers"] ?? 0
    sinceMilliseconds = row["sinceMilliseconds"]
    stopMilliseconds = row["stopMilliseconds"]
    failedMilliseconds = row["failedMilliseconds"]
    fromModule = (row["fromModule"] as String?).flatMap(ModuleID.init(rawValue:))
    isHeld = row["isHeld"] ?? false
    saved = Self.value(SavedState.self, row["saved"])
    failures = Self.value([Int64].self, row["failures"]) ?? []
    lastRecovery = Self.value(Recovery.self, row["lastRecovery"])
    undo = (row["undo"] as String?).flatMap(UndoDecision.init(rawValue:))
  }

  /// A value that a column holds as JSON.
  private static func value<T: WireValue>(_ type: T.Type, _ text: String?) -> T? {
    guard let text, let value = try? JSON.parse(text) else { return nil }
    return try? WireCoder.decode(type, from: value, unknownMembers: .ignore)
  }

  private static func text(_ value: (some WireValue)?) -> String? {
    value.flatMap { try? WireCoder.encode($0) }.map(JSON.text)
  }

  fileprivate var replacement: MachineStore.Statement {
    MachineStore.Statement(
      sql: """
        INSERT OR REPLACE INTO machine (name, uuid, slot, definition, autostart, phase, module, reason, failovers,
          sinceMilliseconds, stopMilliseconds, failedMilliseconds, fromModule, lastRecovery, isHeld, saved, failures,
          undo)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
      arguments: [
        name.rawValue, uuid, slot, definition, autostart, phase.rawValue, module?.rawValue, reason, failovers,
        sinceMilliseconds, stopMilliseconds, failedMilliseconds, fromModule?.rawValue,
        Self.text(lastRecovery), isHeld, Self.text(saved), Self.text(failures), undo?.rawValue,
      ])
  }
}
