// The state of a service on one leg.
//
// On disk, in LEG/SERVICE/:
//
//     state.sqlite              the database: SQLite 3, WAL, synchronous=FULL, locked exclusively by the active instance
//     state.sqlite-wal          its write-ahead log
//     state.sqlite.new          a database that is being made or copied; worth nothing until it is renamed
//     state.sqlite.old          what the copy replaced, for the moment between the two renames
//     state.sqlite.damaged-T    a database that could not be read, kept for people (T: milliseconds since 1970)
//     state.sqlite.discarded-T  a database that was given up by force, kept for people
//     state.reserve             space for the service's next opening when the disk is full (`Reserve`)
//
// Both legs hold the same tables with the same rows, but for `ftvs_state.complete`:
//
//     ftvs_state     one row: host, service, generation, members, complete, sequence, epoch, migrations, request_floor
//     ftvs_ancestor  the generations before this one, in order
//     ftvs_redo      the statements of the last transaction: brings the other leg level after a crash between two commits
//     ftvs_request   request keys with fingerprint and answer
//     (others)       the service's own
//
// A *generation* is a random identifier, drawn at each change of the set of legs in step (the *members*). It is durable
// on the legs that stay, and in the witness file outside the legs, before the first answer that a leg misses. Which
// leg is right is decided by ancestry alone (`LegChoice`), never by comparing counters of different generations.
//
// States of a leg:
//
//     inStep     a member: every acknowledged transaction was committed on it
//       │ it fails, its directory goes, its module is shot: survivor draws a generation without it
//       ▼
//     lost       not touched
//       │ it is there again: is its generation an ancestor of ours?  no: it stays lost (foreign, split)
//       ▼ yes, or it is blank, incomplete or damaged
//     resyncing  copy to state.sqlite.new with complete = 0, rename, then every transaction goes to it too while the
//       │        service copies its other data; a crash leaves it incomplete: it never starts alone, and is copied anew
//       ▼ a generation with both as members, complete = 1, first on the survivor, then on it, then in the witness
//     inStep
//
// Joining is committed on the survivor first: a leg that says "both" in a generation that the survivor does not know
// cannot exist, so a witness that names the leg's generation or an ancestor of it proves that nobody went on without it.

import GRDB
import GRDBSQLite
import Primitives

/// The open database of one leg. Used on the state's thread only.
final class LegDatabase {
  static let fileName = "state.sqlite"

  let leg: LegID
  let directory: String
  let identity: LegIdentity
  let reserve: Reserve
  private let queue: DatabaseQueue

  /// Opens the database that is in a directory.
  init(leg: LegID, directory: String, shotMark: String?) throws {
    self.leg = leg
    self.directory = directory
    reserve = Self.reserve(in: directory)
    guard case .present(let identity?) = LegPresence.look(directory: directory, shotMark: shotMark), identity.file != 0
    else { throw DatabaseError(resultCode: .SQLITE_CANTOPEN, message: "\(directory) holds no database") }
    self.identity = identity
    queue = try Self.openQueue(directory + "/" + Self.fileName)
    // The log stays when the database is closed: the place that it has is there for the next opening, too.
    var isKept: Int32 = 1
    _ = try access { sqlite3_file_control($0.sqliteConnection, "main", SQLITE_FCNTL_PERSIST_WAL, &isKept) }
  }

  static func openQueue(_ path: String) throws -> DatabaseQueue {
    var configuration = GRDB.Configuration()
    configuration.allowsUnsafeTransactions = true
    configuration.busyMode = .timeout(2)
    configuration.prepareDatabase { database in
      // Exclusive first: then the log's index is in memory, and no file of the leg is ever mapped.
      try database.execute(sql: "PRAGMA locking_mode = EXCLUSIVE")
      let mode = try String.fetchOne(database, sql: "PRAGMA journal_mode = WAL")
      guard mode == "wal" else { throw DatabaseError(resultCode: .SQLITE_IOERR, message: "WAL is not available") }
      try database.execute(sql: "PRAGMA synchronous = FULL")
      // Who takes over reads the whole log first: a short one keeps that below a millisecond.
      try database.execute(sql: "PRAGMA wal_autocheckpoint = 100")
      // What SQLite keeps for the time of a statement needs no disk, which may be full.
      try database.execute(sql: "PRAGMA temp_store = MEMORY")
    }
    return try DatabaseQueue(path: path, configuration: configuration)
  }

  /// Runs something on the connection.
  func access<T>(_ body: (Database) throws -> T) throws -> T { try queue.inDatabase(body) }

  func rollBack() {
    // SQLite rolls back by itself after some errors; what cannot be rolled back ends with the connection.
    try? access { database in
      if database.isInsideTransaction { try database.rollback() }
    }
  }

  static func reserve(in directory: String) -> Reserve {
    Reserve(path: directory + "/" + Reserve.fileName, bytes: Reserve.databaseBytes)
  }

  /// Brings what the log holds into the database, so that the log is written from its beginning again. Where the disk
  /// is full, that place is all there is.
  func restartLog() -> Bool {
    let row = try? access { try Row.fetchOne($0, sql: "PRAGMA wal_checkpoint(RESTART)") }
    return row?.number("busy") == 0
  }

  func close() {
    rollBack()
    try? queue.close()
  }

  /// Makes a new database in a directory: the file appears whole or not at all.
  static func create(in directory: String, _ header: LegHeader) throws {
    let path = directory + "/" + fileName
    try removeNew(in: directory)
    let queue = try openQueue(path + ".new")
    do {
      try queue.inDatabase { database in
        try database.inTransaction(.immediate) {
          try database.execute(sql: LegHeader.schema)
          try header.insert(database)
          return .commit
        }
      }
    } catch {
      try? queue.close()
      throw error
    }
    try queue.close()
    try install(in: directory, oldSuffix: nil)
  }

  /// Removes what an interrupted copy left.
  static func removeNew(in directory: String) throws {
    let path = directory + "/" + fileName + ".new"
    for suffix in ["", "-wal", "-shm", "-journal"] { try FileOperations.remove(path + suffix) }
  }

  /// Puts the closed `state.sqlite.new` in place. What was there is removed, or kept under `oldSuffix`.
  ///
  /// The old database leaves together with its log first: a log beside a database that it does not belong to would be
  /// played into it.
  static func install(in directory: String, oldSuffix: String?) throws {
    let path = directory + "/" + fileName
    let old = path + (oldSuffix ?? ".old")
    try FileOperations.synchronize(path + ".new")
    for suffix in ["", "-wal", "-journal"] where FileOperations.exists(path + suffix) {
      try FileOperations.rename(path + suffix, to: old + suffix)
    }
    try FileOperations.remove(path + "-shm")
    try FileOperations.rename(path + ".new", to: path)
    try FileOperations.synchronize(directory)
    guard oldSuffix == nil else { return }
    for suffix in ["", "-wal", "-journal"] { try FileOperations.remove(old + suffix) }
  }
}

extension DatabaseError {
  /// Whether the leg failed, rather than the statement.
  var isLegFailure: Bool {
    switch resultCode.primaryResultCode {
    case .SQLITE_IOERR, .SQLITE_FULL, .SQLITE_CORRUPT, .SQLITE_CANTOPEN, .SQLITE_READONLY, .SQLITE_NOTADB, .SQLITE_PERM,
      .SQLITE_AUTH, .SQLITE_BUSY, .SQLITE_LOCKED, .SQLITE_PROTOCOL, .SQLITE_NOLFS:
      true
    default: false
    }
  }
}
