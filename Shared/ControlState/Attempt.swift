import GRDB
import Primitives
import RPC

/// Why a leg was left out.
struct LegFailure: Sendable {
  var reason: String
  /// Its disk is full: when the others' are too, it stays.
  var isFull = false
  /// It failed rather than went away: it is not tried again at once.
  var isError = true

  init(reason: String, isFull: Bool = false, isError: Bool = true) {
    self.reason = reason
    self.isFull = isFull
    self.isError = isError
  }

  init(_ error: any Error) {
    if let gone = error as? LegGone {
      self.init(reason: gone.reason, isError: false)
      return
    }
    let isFull =
      ((error as? DatabaseError)?.resultCode.primaryResultCode == .SQLITE_FULL) || (error as? FileError)?.isFull == true
    self.init(
      reason: isFull ? "it is full; free space on it (\(Engine.describe(error)))" : Engine.describe(error),
      isFull: isFull)
  }
}

enum AttemptError: Error {
  /// The change itself was refused; everything is rolled back.
  case refused(RPCError)
  /// A leg failed before anything was committed; everything is rolled back.
  case failed(LegID, LegFailure)
}

/// A change that is committed on the first leg.
struct Outcome<T> {
  var value: T
  var mirrorFailure: LegFailure?
}

extension Engine {
  /// Makes a change on these legs, which become the members.
  ///
  /// Commits on the first, then on the second, then on one that is following: a leg that says "both" in a generation
  /// must never be ahead of the leg that was in service before.
  func attempt<T>(
    _ first: LegDatabase, _ mirror: LegDatabase?, _ room: inout Room, changing edit: (inout LegHeader) -> Void,
    _ body: @escaping (inout Transaction) throws -> T
  ) throws(AttemptError) -> Outcome<T> {
    guard let old = header else { throw .refused(unavailable()) }
    var next = old
    edit(&next)
    next.sequence = old.sequence &+ 1
    let members = Set([first.leg] + (mirror.map { [$0.leg] } ?? []))
    if members != old.members || next.generation != old.generation { renew(&next, from: old, members) }

    let (value, statements) = try commit(on: first, old, &next, body)
    header = next
    var outcome = Outcome(value: value)
    if let mirror {
      do { try follow(mirror, &room, statements, old, next) } catch { outcome.mirrorFailure = LegFailure(error) }
    }
    followByResync(Resync.Missed(statements: statements, old: old, next: next))
    return outcome
  }

  /// A new generation with these members, of which what was before is an ancestor.
  func renew(_ next: inout LegHeader, from old: LegHeader, _ members: Set<LegID>) {
    next.generation = .random()
    next.generationMilliseconds = configuration.now()
    next.members = members
    next.ancestors.insert(old.generation)
  }

  /// Makes the change on the first leg, whole: nobody sees it before it is on the others, too.
  private func commit<T>(
    on first: LegDatabase, _ old: LegHeader, _ next: inout LegHeader,
    _ body: @escaping (inout Transaction) throws -> T
  ) throws(AttemptError) -> (T, [RecordedStatement]) {
    do {
      let (hook, leg, wanted) = (configuration.hook, first.leg, next)
      let (value, statements, record) = try first.accessIfThere { database in
        try hook?(leg, .begin)
        try database.beginTransaction(.immediate)
        var transaction = Transaction(database)
        let value = try body(&transaction)
        try transaction.finish()
        var record = wanted
        if let floor = transaction.requestFloor { record.requestFloor = max(record.requestFloor, floor) }
        try hook?(leg, .statements)
        try record.update(database, from: old)
        try Redo.write(transaction.statements, sequence: record.sequence, to: database)
        try Self.commit(database, leg, hook)
        return (value, transaction.statements, record)
      }
      next = record
      return (value, statements)
    } catch  where Self.isLegFailure(error) {
      first.rollBack()
      throw .failed(first.leg, LegFailure(error))
    } catch {
      first.rollBack()
      // A body may have turned the leg's error into one of its own.
      if let complaint = look(first.leg).complaint(about: first.identity) {
        throw .failed(first.leg, LegFailure(reason: complaint, isError: false))
      }
      throw .refused(Self.wrap(error))
    }
  }

  /// Replays a change on the second leg. Where that is full, room is made and it is tried again, for the first leg has it.
  private func follow(
    _ mirror: LegDatabase, _ room: inout Room, _ statements: [RecordedStatement], _ old: LegHeader, _ next: LegHeader
  ) throws {
    while true {
      do { return try replay(statements, on: mirror, old, next) } catch {
        mirror.rollBack()
        guard LegFailure(error).isFull, room.make(on: mirror) else { throw error }
      }
    }
  }

  /// Replays a change on the leg that follows, or notes it where that one is still copied to.
  private func followByResync(_ change: Resync.Missed) {
    guard let resync else { return }
    guard let follower = resync.follower else {
      if resync.note(change) { return }
      return abandonResync(reason: "Too much was changed while the state was copied.", isError: true)
    }
    do { try replay(change.statements, on: follower, change.old, change.next) } catch {
      abandonResync(reason: Self.describe(error), isError: true)
    }
  }

  /// Makes a change on a leg that was made on the first one.
  func replay(
    _ statements: [RecordedStatement], on leg: LegDatabase, _ old: LegHeader, _ next: LegHeader
  ) throws {
    let (hook, id) = (configuration.hook, leg.leg)
    try leg.accessIfThere { database in
      try hook?(id, .begin)
      try database.beginTransaction(.immediate)
      for statement in statements { try statement.replay(database) }
      try hook?(id, .statements)
      try next.update(database, from: old)
      try Redo.write(statements, sequence: next.sequence, to: database)
      try Self.commit(database, id, hook)
    }
  }

  static func commit(
    _ database: Database, _ leg: LegID, _ hook: (@Sendable (LegID, LegStep) throws -> Void)?
  ) throws {
    try hook?(leg, .commit)
    try database.commit()
    try hook?(leg, .committed)
  }

  /// Whether the leg failed, rather than what was wanted of it.
  static func isLegFailure(_ error: any Error) -> Bool {
    error is LegStall || error is LegGone || (error as? DatabaseError)?.isLegFailure == true
  }
}
