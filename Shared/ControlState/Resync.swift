import GRDB
import GRDBSQLite
import Logging
import Primitives
import RPC
import ServiceAPI

/// A leg that is getting what it missed.
///
/// First the database is copied, some pages at a time, into `state.sqlite.new`; what is written meanwhile goes into the
/// copy too, because it goes through the connection that is copied from. Then the leg follows: each transaction is
/// replayed on it. Then the service copies its other data. Then the leg joins.
final class Resync {
  let leg: LegID
  let directory: String
  let directoryIdentity: LegIdentity
  let source: LegDatabase
  let oldSuffix: String?
  private var target: OpaquePointer?
  private var backup: OpaquePointer?
  /// The leg's database, from when the copy is in place.
  var follower: LegDatabase?
  /// Copies the service's other data.
  var data: Task<Void, Never>?

  static let pagesPerStep: Int32 = 256

  init(_ leg: LegID, _ directory: String, _ identity: LegIdentity, from source: LegDatabase, oldSuffix: String?) throws
  {
    self.leg = leg
    self.directory = directory
    directoryIdentity = identity
    self.source = source
    self.oldSuffix = oldSuffix
    try LegDatabase.removeNew(in: directory)
    let path = directory + "/" + LegDatabase.fileName + ".new"
    try check(sqlite3_open_v2(path, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nil))
    // The copy is synchronized once, when it is whole.
    try execute("PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF")
    backup = try source.access { sqlite3_backup_init(target, "main", $0.sqliteConnection, "main") }
    if backup == nil { try check(sqlite3_errcode(target)) }
  }

  /// Copies some pages. True when the copy is whole.
  func step() throws -> Bool {
    let result = sqlite3_backup_step(backup, Self.pagesPerStep)
    if result == SQLITE_OK { return false }
    guard result == SQLITE_DONE else { throw DatabaseError(resultCode: ResultCode(rawValue: result)) }
    return true
  }

  /// Pages copied and pages there are.
  var progress: (done: Int64, total: Int64) {
    let total = Int64(sqlite3_backup_pagecount(backup)) * 4096
    return (total - Int64(sqlite3_backup_remaining(backup)) * 4096, total)
  }

  /// Marks the copy as incomplete, puts it in place and opens it.
  func install(shotMark: String?) throws {
    let finished = sqlite3_backup_finish(backup)
    backup = nil
    try check(finished)
    try execute("UPDATE ftvs_state SET complete = 0")
    let closed = sqlite3_close(target)
    target = nil
    try check(closed)
    try LegDatabase.install(in: directory, oldSuffix: oldSuffix)
    follower = try LegDatabase(leg: leg, directory: directory, shotMark: shotMark)
  }

  func end() {
    data?.cancel()
    if backup != nil { sqlite3_backup_finish(backup) }
    backup = nil
    if target != nil { sqlite3_close_v2(target) }
    target = nil
    // The copy of a resync that did not come to its end is worth nothing, and the leg may be full.
    if follower == nil { try? LegDatabase.removeNew(in: directory) }
    follower?.close()
    follower = nil
  }

  private func execute(_ sql: String) throws { try check(sqlite3_exec(target, sql, nil, nil, nil)) }

  private func check(_ result: Int32) throws {
    guard result == SQLITE_OK else {
      throw DatabaseError(resultCode: ResultCode(rawValue: result), message: String(cString: sqlite3_errmsg(target)))
    }
  }
}

extension Engine {
  /// Begins to bring a leg up that is there again, unless it holds what must not be overwritten.
  func takeBack(_ leg: LegID) {
    guard resync == nil, failure == nil, let source = inStep.first, let header,
      let directory = configuration.legDirectories[leg], case .present(let seen) = look(leg)
    else { return }
    do {
      if seen == nil { try FileOperations.makeDirectory(directory) }
      let (finding, database) = inspect(leg)
      database?.close()
      guard case .present(let identity?) = look(leg) else { return }
      if let refusal = refusal(of: finding, header) { return setRefused(leg, refusal.state, refusal.reason, identity) }
      var suffix: String?
      if case .damaged(let reason) = finding {
        suffix = ".damaged-\(configuration.now())"
        logger.error("damaged database kept aside", metadata: ["leg": "\(leg.rawValue)", "reason": "\(reason)"])
      }
      if case .complete = finding, wasForced { suffix = ".discarded-\(configuration.now())" }
      let resync = try Resync(leg, directory, identity, from: source, oldSuffix: suffix)
      self.resync = resync
      publish(leg, .resyncing, Explainer.describe(finding))
      logger.notice("leg resyncing", metadata: ["leg": "\(leg.rawValue)"])
      continueCopy(of: resync)
    } catch {
      setLost(leg, LegFailure(error).reason, isError: true)
    }
  }

  /// Why a leg's content must not be overwritten, or nil when it is older than ours, or nothing.
  private func refusal(of finding: LegFinding, _ header: LegHeader) -> (state: LegState, reason: String)? {
    guard let found = finding.header else {
      guard case .damaged(Self.lockedReason) = finding else { return nil }
      return (.lost, "Another process has its database open; end it.")
    }
    if found.host != header.host || found.service != header.service {
      return (.lost, "It holds the state of another host or service; to use this disk here, empty its directory.")
    }
    if case .incomplete = finding { return nil }
    if header.includes(found.generation) { return nil }
    return (
      .lost,
      "It went on separately from the data in service (\(Explainer.describe(finding))); to give up what only it holds, "
        + "move its database away."
    )
  }

  private func continueCopy(of resync: Resync) {
    later { engine in engine.copyMore() }
  }

  private func copyMore() {
    guard let resync, resync.follower == nil, !isClosed else { return }
    guard inStep.first === resync.source else {
      return abandonResync(reason: "The leg it was copied from failed.", isError: false)
    }
    do {
      if try !resync.step() {
        publishProgress(resync)
        return continueCopy(of: resync)
      }
      try configuration.hook?(resync.leg, .begin)
      try resync.install(shotMark: configuration.shotMarks[resync.leg])
      if let follower = resync.follower { setOpen(follower) }
    } catch {
      return abandonResync(reason: LegFailure(error).reason, isError: true)
    }
    guard let copy = configuration.resyncData else { return join(resync.leg) }
    startData(resync, copy)
  }

  private func publishProgress(_ resync: Resync) {
    let progress = resync.progress
    publish(resync.leg, .resyncing, published.status(resync.leg)?.reason, done: progress.done, total: progress.total)
  }

  /// The service copies what it keeps beside the database; then the leg joins.
  private func startData(
    _ resync: Resync,
    _ copy: @escaping @Sendable (LegID, @escaping @Sendable (Int64, Int64) -> Void) async throws -> Void
  ) {
    resyncs += 1
    let leg = resync.leg
    let number = resyncs
    let later = later
    let report: @Sendable (DataReport) -> Void = { report in
      later { engine in engine.note(report, of: leg, number) }
    }
    resync.data = Self.run(copy, to: leg, report)
  }

  private enum DataReport: Sendable {
    case progress(Int64, Int64)
    case done
    case failed(String)
  }

  private static func run(
    _ copy: @escaping @Sendable (LegID, @escaping @Sendable (Int64, Int64) -> Void) async throws -> Void,
    to leg: LegID, _ report: @escaping @Sendable (DataReport) -> Void
  ) -> Task<Void, Never> {
    Task {
      do {
        try await copy(leg, { report(.progress($0, $1)) })
        report(.done)
      } catch {
        report(.failed(describe(error)))
      }
    }
  }

  private func note(_ report: DataReport, of leg: LegID, _ number: Int) {
    guard resyncs == number, resync?.leg == leg else { return }
    switch report {
    case .progress(let done, let total): publish(leg, .resyncing, "data is copied", done: done, total: total)
    case .done: join(leg)
    case .failed(let reason): abandonResync(reason: reason, isError: true)
    }
  }

  /// Ends a resync that did not come to its end; the leg stays incomplete.
  func abandonResync(reason: String, isError: Bool) {
    guard let resync else { return }
    self.resync = nil
    resync.end()
    logger.error("resync ended", metadata: ["leg": "\(resync.leg.rawValue)", "reason": "\(reason)"])
    setLost(resync.leg, reason, isError: isError)
  }

  /// Makes a leg that follows a member: durable on the survivor, then on the leg, then in the witness.
  func join(_ leg: LegID) {
    guard let resync, resync.leg == leg, let follower = resync.follower, !isClosed else { return }
    do {
      try settle()
      // Settling may have ended the resync or the service.
      guard self.resync === resync, let old = header, let first = inStep.first, inStep.count == 1 else { return }
      var next = old
      next.sequence = old.sequence &+ 1
      renew(&next, from: old, [first.leg, leg])
      try commitJoin(first, old, next, complete: false)
      header = next
      self.resync = nil
      inStep = [first, follower].sorted { $0.leg.rawValue < $1.leg.rawValue }
      do {
        try commitJoin(follower, old, next, complete: true)
      } catch {
        follower.rollBack()
        remove([leg: LegFailure(error)])
        return try settle()
      }
      try writeWitness()
      retries[leg] = nil
      if let header { acknowledged = (header.generation, header.sequence) }
      publish(leg, .inStep)
      logger.notice("leg in step", metadata: ["leg": "\(leg.rawValue)"])
    } catch {
      if self.resync != nil {
        inStep.first?.rollBack()
        abandonResync(reason: Self.describe(error), isError: true)
      }
      logger.error("leg not joined", metadata: ["leg": "\(leg.rawValue)", "reason": "\(error)"])
    }
  }

  private func commitJoin(_ leg: LegDatabase, _ old: LegHeader, _ next: LegHeader, complete: Bool) throws {
    try configuration.hook?(leg.leg, .begin)
    try leg.access { database in
      try database.beginTransaction(.immediate)
      try next.update(database, from: old)
      if complete { try database.execute(sql: "UPDATE ftvs_state SET complete = 1 WHERE id = 1") }
      try Redo.write([], sequence: next.sequence, to: database)
    }
    try configuration.hook?(leg.leg, .commit)
    try leg.access { try $0.commit() }
    try configuration.hook?(leg.leg, .committed)
  }
}
