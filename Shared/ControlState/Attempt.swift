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

    let (value, statements) = try prepare(first, old, &next, body)
    var others: [LegDatabase] = []
    if let mirror { others.append(mirror) }
    if let follower = resync?.follower { others.append(follower) }
    for other in others {
      do {
        try replay(statements, on: other, old, next)
      } catch {
        guard other === mirror else {
          abandonResync(reason: Self.describe(error), isError: true)
          continue
        }
        first.rollBack()
        other.rollBack()
        resync?.follower?.rollBack()
        throw .failed(other.leg, LegFailure(error))
      }
    }
    do {
      try commit(first)
    } catch {
      first.rollBack()
      for other in others { other.rollBack() }
      throw .failed(first.leg, LegFailure(error))
    }
    header = next
    if let resync, resync.follower == nil, !resync.note(Resync.Missed(statements: statements, old: old, next: next)) {
      abandonResync(reason: "Too much was changed while the state was copied.", isError: true)
    }
    var outcome = Outcome(value: value)
    for other in others where other === mirror || other === resync?.follower {
      do {
        if other === mirror {
          try commit(other, &room) { try replay(statements, on: other, old, next) }
        } else {
          try commit(other)
        }
      } catch {
        if other === mirror {
          outcome.mirrorFailure = LegFailure(error)
        } else {
          abandonResync(reason: Self.describe(error), isError: true)
        }
      }
    }
    return outcome
  }

  /// A new generation with these members, of which what was before is an ancestor.
  func renew(_ next: inout LegHeader, from old: LegHeader, _ members: Set<LegID>) {
    next.generation = .random()
    next.generationMilliseconds = configuration.now()
    next.members = members
    next.ancestors.insert(old.generation)
  }

  private func prepare<T>(
    _ first: LegDatabase, _ old: LegHeader, _ next: inout LegHeader,
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
    }
  }

  /// Commits on the second leg. Where that is full, room is made and the change made again, for the first leg has it.
  private func commit(_ mirror: LegDatabase, _ room: inout Room, again: () throws -> Void) throws {
    while true {
      do { return try commit(mirror) } catch {
        guard LegFailure(error).isFull, room.make(on: mirror) else { throw error }
        mirror.rollBack()
        try again()
      }
    }
  }

  func commit(_ leg: LegDatabase) throws {
    let (hook, id) = (configuration.hook, leg.leg)
    try leg.access { database in
      try hook?(id, .commit)
      try database.commit()
      try hook?(id, .committed)
    }
  }

  /// Whether the leg failed, rather than what was wanted of it.
  static func isLegFailure(_ error: any Error) -> Bool {
    error is LegStall || error is LegGone || (error as? DatabaseError)?.isLegFailure == true
  }
}
