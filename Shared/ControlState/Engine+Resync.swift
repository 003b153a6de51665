import GRDB
import Logging
import Primitives
import RPC
import ServiceAPI

extension Engine {
  /// Begins to bring a leg up that is there again, unless it holds what must not be overwritten.
  func takeBack(_ leg: LegID) {
    guard resync == nil, failure == nil, let source = inStep.first, let header, let thread = threads[leg],
      let directory = configuration.directory(of: leg), case .present(let seen) = look(leg)
    else { return }
    do {
      if seen == nil { try thread.run { try FileOperations.makeDirectory(directory) } }
      let (finding, database) = inspect(leg)
      database?.close()
      guard case .present(let identity?) = look(leg) else { return }
      if let refusal = refusal(of: finding, header) { return setRefused(leg, refusal.state, refusal.reason, identity) }
      // What is made from now on is noted, because nothing else runs on the state's thread before.
      let copy = ImageCopy(
        of: try source.image(), on: thread, to: directory, identity, shotMark: configuration.shotMarks[leg],
        oldSuffix: try suffixOfOld(leg, finding, source), hook: configuration.hook)
      begin(copy, from: source, describing: finding)
    } catch {
      setLost(leg, LegFailure(error).reason, isError: true)
    }
  }

  /// What the database that is replaced is called, where it is to be kept for people.
  private func suffixOfOld(_ leg: LegID, _ finding: LegFinding, _ source: LegDatabase) throws -> String? {
    switch finding {
    case .damaged(let reason):
      logger.error("damaged database kept aside", metadata: ["leg": "\(leg.rawValue)", "reason": "\(reason)"])
      return ".damaged-\(configuration.now())"
    case .complete(let header):
      let isGivenUp = try source.access { try GivenUp.contains(header.generation, in: $0) }
      return isGivenUp ? ".discarded-\(configuration.now())" : nil
    case .absent, .blank, .incomplete: return nil
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

  private func begin(_ copy: ImageCopy, from source: LegDatabase, describing finding: LegFinding) {
    resyncs += 1
    let resync = Resync(copy, number: resyncs, from: source)
    self.resync = resync
    publish(resync.leg, .resyncing, Explainer.describe(finding))
    logger.notice("leg resyncing", metadata: ["leg": "\(resync.leg.rawValue)"])
    let (number, later) = (resync.number, later)
    copy.begin { progress in later { engine in engine.note(progress, ofCopy: number) } }
  }

  private func note(_ progress: ImageCopy.Progress, ofCopy number: Int) {
    guard let resync, resync.number == number, !isClosed else {
      if case .inPlace(let database) = progress { database.close() }
      return
    }
    switch progress {
    case .copied(let done, let total):
      let reason = published.status(resync.leg)?.reason
      publish(resync.leg, .resyncing, reason, done: Int64(done), total: Int64(total))
    case .inPlace(let database): catchUp(resync, database)
    case .failed(let error): abandonResync(reason: LegFailure(error).reason, isError: true)
    }
  }

  /// Replays what was made while the image was copied; from then on the leg follows.
  private func catchUp(_ resync: Resync, _ database: LegDatabase) {
    do {
      guard inStep.first === resync.source else { throw LegGone(reason: "The leg it was copied from failed.") }
      setOpen(database)
      for missed in resync.missed {
        try replay(missed.statements, on: database, missed.old, missed.next)
      }
    } catch {
      database.close()
      let failure = LegFailure(error)
      return abandonResync(reason: failure.reason, isError: failure.isError)
    }
    resync.follow(with: database)
    guard let copy = configuration.resyncData else { return join(resync.leg) }
    startData(resync, copy)
  }

  /// The service copies what it keeps beside the database; then the leg joins.
  private func startData(
    _ resync: Resync,
    _ copy: @escaping @Sendable (LegID, @escaping @Sendable (Int64, Int64) -> Void) async throws -> Void
  ) {
    let (leg, number, later) = (resync.leg, resync.number, later)
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
    guard resync?.number == number else { return }
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
    let (hook, id) = (configuration.hook, leg.leg)
    try leg.access { database in
      try hook?(id, .begin)
      try database.beginTransaction(.immediate)
      try next.update(database, from: old)
      if complete { try database.execute(sql: "UPDATE ftvs_state SET complete = 1 WHERE id = 1") }
      try Redo.write([], sequence: next.sequence, to: database)
      try Self.commit(database, id, hook)
    }
  }
}
