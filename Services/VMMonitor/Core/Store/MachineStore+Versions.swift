import ControlState
import GRDB
import Primitives
import RPC
import VMAPI

/// The definitions that machines have and had. The newest are kept, in the transaction that defines.
extension MachineStore {
  /// Definitions that are kept of a machine at most, with the current one.
  static let keptVersions = 20
  /// Bytes of text that they may have together; the current one is kept in any case.
  static let keptBytes = 2 << 20

  static let versionsMigration = """
    CREATE TABLE definitionVersion (
      machine TEXT NOT NULL, version INTEGER NOT NULL, definedMilliseconds INTEGER NOT NULL, origin TEXT NOT NULL,
      text TEXT NOT NULL, PRIMARY KEY (machine, version));
    INSERT INTO definitionVersion (machine, version, definedMilliseconds, origin, text)
      SELECT name, 1, 0, 'defined', definition FROM machine;
    """

  /// What writes a version down, and forgets the oldest ones.
  static func statements(
    version: Int, of name: VMName, _ text: String, _ origin: VMVersion.Origin, at time: Int64
  ) -> [Statement] {
    [
      Statement(
        sql: """
          INSERT INTO definitionVersion (machine, version, definedMilliseconds, origin, text) VALUES (?, ?, ?, ?, ?)
          """,
        arguments: [name.rawValue, version, time, origin.rawValue, text]),
      Statement(
        sql: """
          DELETE FROM definitionVersion WHERE machine = ? AND version <> ? AND version IN (
            SELECT version FROM (
              SELECT version, ROW_NUMBER() OVER newest AS place, SUM(LENGTH(CAST(text AS BLOB))) OVER newest AS bytes
              FROM definitionVersion WHERE machine = ? WINDOW newest AS (ORDER BY version DESC))
            WHERE place > ? OR bytes > ?)
          """,
        arguments: [name.rawValue, version, name.rawValue, keptVersions, keptBytes]),
    ]
  }

  static func forgettingVersions(of name: VMName) -> Statement {
    Statement(sql: "DELETE FROM definitionVersion WHERE machine = ?", arguments: [name.rawValue])
  }

  /// The current version of each machine.
  func currentVersions() async throws(RPCError) -> [VMName: Int] {
    try await state.read { database in
      let rows = try Row.fetchAll(
        database,
        sql: "SELECT machine, MAX(version) AS version FROM definitionVersion WHERE origin <> ? GROUP BY machine",
        arguments: [VMVersion.Origin.replaced.rawValue])
      var versions: [VMName: Int] = [:]
      for row in rows {
        if let name = (row["machine"] as String?).flatMap(VMName.init(rawValue:)) { versions[name] = row["version"] }
      }
      return versions
    }
  }

  func versions(of name: VMName, current: Int) async throws(RPCError) -> [VMVersion] {
    try await state.read { database in
      try Row.fetchAll(
        database,
        sql: """
          SELECT version, definedMilliseconds, origin, LENGTH(CAST(text AS BLOB)) AS bytes FROM definitionVersion
          WHERE machine = ? ORDER BY version DESC
          """, arguments: [name.rawValue]
      ).compactMap { row in
        guard let version = row["version"] as Int?, let bytes = row["bytes"] as Int64? else { return nil }
        return VMVersion(
          version: version, definedMilliseconds: row["definedMilliseconds"] ?? 0,
          origin: (row["origin"] as String?).flatMap(VMVersion.Origin.init(rawValue:)) ?? .defined, sizeBytes: bytes,
          current: version == current)
      }
    }
  }

  func text(of name: VMName, version: Int) async throws(RPCError) -> String? {
    try await state.read { database in
      try String.fetchOne(
        database, sql: "SELECT text FROM definitionVersion WHERE machine = ? AND version = ?",
        arguments: [name.rawValue, version])
    }
  }

  /// The highest version of a machine, in force or not; 0 when it has none.
  func highestVersion(of name: VMName) async throws(RPCError) -> Int {
    try await state.read { database in
      try Int.fetchOne(
        database, sql: "SELECT MAX(version) FROM definitionVersion WHERE machine = ?", arguments: [name.rawValue])
    } ?? 0
  }

  /// Whether a text is, or was, a definition of the machine.
  func knows(_ text: String, of name: VMName) async throws(RPCError) -> Bool {
    try await state.read { database in
      try Row.fetchOne(
        database, sql: "SELECT 1 FROM definitionVersion WHERE machine = ? AND text = ?",
        arguments: [name.rawValue, text]) != nil
    }
  }
}
