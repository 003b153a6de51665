import GRDB
import Logging
import Primitives
import RPC
import ServiceAPI

/// The state on its thread: the legs in service, the record of who they are, and every transaction.
///
/// Not safe for concurrent use: all of it runs on one `SerialThread`.
final class Engine {
  let configuration: ControlState.Configuration
  let logger: Logger
  let published: PublishedLegs
  /// What touches a leg is done on its thread.
  let threads: [LegID: LegThread]
  /// Gives the state's thread a job for later.
  let later: @Sendable (@escaping @Sendable (Engine) -> Void) -> Void

  /// The legs in step that this engine writes to, the first being the one that is read.
  var inStep: [LegDatabase] = []
  /// What the legs in step hold.
  var header: LegHeader?
  /// The generation that the witness file holds for certain.
  var witnessed: GenerationID?
  /// Generation and sequence number of the last transaction that was answered.
  var acknowledged: (generation: GenerationID, sequence: Int64)?
  var resync: Resync?
  /// Copies of the service's data begun: what an ended one still reports is ignored.
  var resyncs = 0
  var retries: [LegID: Retry] = [:]
  /// Why nothing can be served, where that is so.
  var failure: String?
  var isClosed = false

  init(
    _ configuration: ControlState.Configuration, _ logger: Logger, _ published: PublishedLegs,
    later: @escaping @Sendable (@escaping @Sendable (Engine) -> Void) -> Void
  ) {
    self.configuration = configuration
    self.logger = logger
    self.published = published
    self.later = later
    let threads = LegID.allCases.map { ($0, LegThread($0, bound: configuration.legAnswerBound)) }
    self.threads = Dictionary(uniqueKeysWithValues: threads)
  }

  var epoch: Int64 { header?.epoch ?? 0 }

  // MARK: Reading and writing

  /// Reads from the first leg; a leg that fails is dropped and the other one read.
  func read<T>(_ body: @escaping (Database) throws -> T) throws(RPCError) -> T {
    try settle()
    while true {
      guard let leg = inStep.first else { throw unavailable() }
      do {
        return try leg.access { database in try database.readOnly { try body(database) } }
      } catch  where Self.isLegFailure(error) {
        try drop(leg.leg, reason: Self.describe(error))
      } catch {
        throw Self.wrap(error)
      }
    }
  }

  /// Makes a change on the first leg, replays it on the other, and leaves out a leg that fails.
  func write<T>(_ body: @escaping (inout Transaction) throws -> T) throws(RPCError) -> T {
    try write(leavingOut: [:], Room(isOwn: false), body)
  }

  /// Drops a leg; returns when the others know it durably.
  func drop(_ leg: LegID, reason: String) throws(RPCError) {
    if resync?.leg == leg { return abandonResync(reason: reason, isError: true) }
    guard inStep.contains(where: { $0.leg == leg }) else { return }
    try write(leavingOut: [leg: LegFailure(reason: reason)], Room(isOwn: true)) { _ in }
  }

  /// Brings the records up to what is so: membership on the legs, and the witness.
  func settle() throws(RPCError) {
    if failure != nil || isClosed { throw unavailable() }
    guard let header, header.members == Set(inStep.map(\.leg)), witnessed == header.generation else {
      return try write(leavingOut: [:], Room(isOwn: true)) { _ in }
    }
  }

  /// Makes a change, with room made for it on legs that are full.
  func write<T>(
    leavingOut start: [LegID: LegFailure], _ room: Room, changing edit: (inout LegHeader) -> Void = { _ in },
    _ body: @escaping (inout Transaction) throws -> T
  ) throws(RPCError) -> T {
    if failure != nil || isClosed { throw unavailable() }
    var failed = start
    var room = room
    defer { for leg in room.opened { leg.refillReserve() } }
    while true {
      let serving = inStep.filter { failed[$0.leg] == nil }
      guard let first = serving.first else { throw nothingLeft(failed) }
      do throws(AttemptError) {
        let outcome = try attempt(first, serving.dropFirst().first, &room, changing: edit, body)
        return try conclude(outcome, first, failed)
      } catch {
        switch error {
        case .refused(let error): throw error
        case .failed(let leg, let failure):
          if failure.isFull, let full = serving.first(where: { $0.leg == leg }), room.make(on: full) { continue }
          failed[leg] = failure
        }
      }
    }
  }

  /// What has to be durable before the answer: that a leg misses it.
  private func conclude<T>(
    _ outcome: Outcome<T>, _ first: LegDatabase, _ failed: [LegID: LegFailure]
  ) throws(AttemptError) -> T {
    remove(failed)
    do throws(RPCError) {
      if let failure = outcome.mirrorFailure {
        // The first leg has the change: it stands once the other is on record as dropped.
        remove([first.leg.other: failure])
        try settle()
      } else {
        try writeWitness()
      }
    } catch {
      throw .refused(error)
    }
    if let header { acknowledged = (header.generation, header.sequence) }
    return outcome.value
  }
}
