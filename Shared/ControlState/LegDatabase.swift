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
//     ftvs_given_up  generations that a start by force gave up; only where there was one
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

/// The open database of one leg. Used on the state's thread only, which waits while the leg's thread does the work.
final class LegDatabase {
  static let fileName = "state.sqlite"

  /// Its directory by the path by which it is open.
  private(set) var directory: String
  let identity: LegIdentity
  private let shotMark: String?
  private let thread: LegThread
  private var reserve: Reserve
  private var queue: DatabaseQueue
  /// Tells the directory by the path that is to be used; nil when none is left.
  private var route: (() -> String?)?

  var leg: LegID { thread.leg }

  /// Opens the database that is in a directory. Called on the leg's thread.
  init(on thread: LegThread, directory: String, shotMark: String?) throws {
    self.thread = thread
    self.directory = directory
    self.shotMark = shotMark
    reserve = Self.reserve(in: directory)
    guard case .present(let identity?) = LegPresence.look(directory: directory, shotMark: shotMark), identity.file != 0
    else { throw DatabaseError(resultCode: .SQLITE_CANTOPEN, message: "\(directory) holds no database") }
    self.identity = identity
    queue = try Self.openToServe(in: directory)
  }

  private static func openToServe(in directory: String) throws -> DatabaseQueue {
    let queue = try openQueue(directory + "/" + fileName)
    // The log stays when the database is closed: the place that it has is there for the next opening, too.
    var isKept: Int32 = 1
    _ = queue.inDatabase { sqlite3_file_control($0.sqliteConnection, "main", SQLITE_FCNTL_PERSIST_WAL, &isKept) }
    return queue
  }

  /// From the next transaction on it is reached by the path that this tells.
  func follow(_ route: @escaping () -> String?) { self.route = route }

  /// Opens it by the other path where that is to be used now. In the same process both cannot be open: it is exclusive.
  private func takePath() throws {
    guard let route else { return }
    guard let current = route() else { throw LegGone(reason: "no path to it is left") }
    guard current != directory else { return }
    let old = queue
    queue = try thread.run {
      try old.close()
      return try Self.openToServe(in: current)
    }
    directory = current
    reserve = Self.reserve(in: current)
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

  /// Runs something on the connection, on the leg's thread. Throws `LegStall` when the leg does not answer.
  func access<T>(_ body: @escaping (Database) throws -> T) throws -> T {
    let queue = queue
    return try thread.run { try queue.inDatabase(body) }
  }

  /// As `access`, after a look whether the path still leads to this database; throws `LegGone` where it does not.
  func accessIfThere<T>(_ body: @escaping (Database) throws -> T) throws -> T {
    try takePath()
    let (directory, shotMark, identity) = (directory, shotMark, identity)
    return try access { database in
      let presence = LegPresence.look(directory: directory, shotMark: shotMark)
      if let complaint = presence.complaint(about: identity) { throw LegGone(reason: complaint) }
      return try body(database)
    }
  }

  /// What the database holds. Called on the leg's thread, before anybody else has the database.
  func header() throws -> LegHeader { try queue.inDatabase(LegHeader.read) }

  /// The whole database as it is now, as the bytes of a file.
  func image() throws -> [UInt8] {
    try access { database in
      var size: sqlite3_int64 = 0
      guard let bytes = sqlite3_serialize(database.sqliteConnection, "main", &size, 0) else {
        throw DatabaseError(resultCode: .SQLITE_NOMEM, message: "no memory for a copy of the state")
      }
      defer { sqlite3_free(bytes) }
      return Array(UnsafeBufferPointer(start: bytes, count: Int(size)))
    }
  }

  func rollBack() {
    let queue = queue
    try? thread.run { Self.rollBack(queue) }
  }

  private static func rollBack(_ queue: DatabaseQueue) {
    // SQLite rolls back by itself after some errors; what cannot be rolled back ends with the connection.
    try? queue.inDatabase { database in
      if database.isInsideTransaction { try database.rollback() }
    }
  }

  /// Closes it; where the leg hangs, as soon as it does not any more.
  func close() {
    let queue = queue
    let body = {
      Self.rollBack(queue)
      try queue.close()
    }
    if thread.isStuck { thread.afterwards(body) } else { try? thread.run(body) }
  }

  // MARK: Room

  static func reserve(in directory: String) -> Reserve {
    Reserve(path: directory + "/" + Reserve.fileName, bytes: Reserve.databaseBytes)
  }

  /// Takes the reserve's space where it is not taken and there is enough. Nobody waits for that.
  func keepReserve() {
    let reserve = reserve
    thread.afterwards { if reserve.isDue { reserve.keep() } }
  }

  /// Takes again what was given up of the reserve for one change.
  func refillReserve() {
    let reserve = reserve
    try? thread.run { reserve.keep() }
  }

  /// Gives a step of the reserve up. False when there is nothing to give.
  func giveUpReserve() -> Bool {
    let reserve = reserve
    return (try? thread.run { reserve.giveUp() }) ?? false
  }

  /// Brings what the log holds into the database, so that the log is written from its beginning again. Where the disk
  /// is full, that place is all there is.
  func restartLog() -> Bool {
    let row = try? access { try Row.fetchOne($0, sql: "PRAGMA wal_checkpoint(RESTART)") }
    return row?.number("busy") == 0
  }

  // MARK: Files. All of these block, and are called on the leg's thread.

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

/// A leg's path does not lead to what was opened any more.
struct LegGone: Error, Sendable {
  let reason: String
}
