import ControlState
import GRDB
import HardwareAPI
import Primitives
import RPC

/// Everything that the supervisor keeps: the modules, and which start of the host they belong to.
struct HostRecord: Sendable, Equatable {
  var modules: [ModuleID: ModuleRecord] = [:]
  /// Names the start of the host at which this was last written; nil before the first.
  var boot: String?
}

/// The supervisor's tables. Each save is one transaction on both legs.
public struct ModuleStore: Sendable {
  let state: ControlState

  /// What creates the tables, in order.
  public static let migrations = [
    """
    CREATE TABLE module (
      name TEXT PRIMARY KEY, state TEXT NOT NULL, reason TEXT, sinceMilliseconds INTEGER NOT NULL,
      failures INTEGER NOT NULL, incarnation TEXT, agentProcess INTEGER, task TEXT NOT NULL, stays INTEGER NOT NULL,
      isForced INTEGER NOT NULL, outSinceMilliseconds INTEGER
    ) STRICT
    """,
    "CREATE TABLE host (id INTEGER PRIMARY KEY CHECK (id = 1), boot TEXT NOT NULL) STRICT",
  ]

  public init(_ state: ControlState) { self.state = state }

  func load() async throws(RPCError) -> HostRecord {
    try await state.read { database in
      var host = HostRecord()
      host.boot = try String.fetchOne(database, sql: "SELECT boot FROM host WHERE id = 1")
      for row in try Row.fetchAll(database, sql: "SELECT * FROM module") {
        guard let record = Self.record(row) else { continue }
        host.modules[record.module] = record
      }
      return host
    }
  }

  /// Writes the records durably on all legs in service.
  func save(_ records: [ModuleRecord], boot: String?) async throws(RPCError) {
    try await state.write { transaction in
      for record in records {
        try transaction.execute(
          "INSERT OR REPLACE INTO module VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
          [
            record.module.rawValue, record.state.rawValue, record.reason, record.sinceMilliseconds, record.failures,
            record.incarnation?.rawValue, record.agentProcess, record.task.rawValue, record.stays, record.isForced,
            record.outSinceMilliseconds,
          ])
      }
      if let boot { try transaction.execute("INSERT OR REPLACE INTO host VALUES (1, ?)", [boot]) }
    }
  }

  /// A row; a state or task that this build does not know is a module whose state is unknown and is found out anew.
  private static func record(_ row: Row) -> ModuleRecord? {
    guard let name = row["name"] as String?, let module = ModuleID(rawValue: name) else { return nil }
    let state = (row["state"] as String?).flatMap(ModuleState.init(rawValue:))
    let task = (row["task"] as String?).flatMap(ModuleTask.init(rawValue:))
    var record = ModuleRecord(
      module: module, state: state ?? .unknown, sinceMilliseconds: row["sinceMilliseconds"] ?? 0, task: task ?? .none)
    record.reason = row["reason"]
    record.failures = row["failures"] ?? 0
    record.incarnation = (row["incarnation"] as String?).flatMap(GenerationID.init(rawValue:))
    record.agentProcess = row["agentProcess"]
    record.stays = row["stays"] ?? false
    record.isForced = row["isForced"] ?? false
    record.outSinceMilliseconds = row["outSinceMilliseconds"]
    return record
  }
}
