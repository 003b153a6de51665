import GRDB
import Logging
import Primitives
import RPC

extension Engine {
  /// Finds out which leg is right, starts from it, and raises the epoch.
  func open() throws(ControlStateError) {
    try assemble(force: configuration.force, isFirst: true)
    if inStep.count < LegID.allCases.count { lookAtLegs(evenIfEarly: true) }
  }

  /// Tries again after both legs were out of reach: only with what holds everything that was answered.
  func reassemble() {
    do {
      try assemble(force: nil, isFirst: false)
      failure = nil
      logger.notice("state available again")
    } catch {
      for leg in inStep { leg.close() }
      inStep = []
    }
  }

  private func assemble(force: LegID?, isFirst: Bool) throws(ControlStateError) {
    var opened: [LegID: LegDatabase] = [:]
    var findings: [LegID: LegFinding] = [:]
    // Both at the same time: clients may be waiting.
    let inspections = LegID.allCases.map { ($0, beginInspection(of: $0)) }
    for (leg, inspection) in inspections { (findings[leg], opened[leg]) = Self.result(of: inspection) }
    var kept: [LegID] = []
    defer { for (leg, database) in opened where !kept.contains(leg) { database.close() } }
    if findings.values.contains(where: { if case .damaged(Self.lockedReason) = $0 { true } else { false } }) {
      throw .unavailable(
        explanation: "Another process has the state of \(configuration.service.rawValue) open; end it.")
    }

    let witness = Witness.read(configuration.witness)
    let choice = try LegChoice.decide(findings, service: configuration.service, witness: witness, force: force)
    let isForced: Bool
    var given: Set<GenerationID> = []
    let next: LegHeader
    switch choice {
    case .initialise:
      guard isFirst else { throw .noLeg(explanation: "The legs are empty.") }
      (next, opened) = try initialise()
      kept = LegID.allCases
      inStep = kept.compactMap { opened[$0] }
      isForced = false
    case .start(let source, let level, let adopted, let forced):
      guard let database = opened[source], let found = findings[source]?.header else {
        throw .unavailable(explanation: "Leg \(source) vanished while it was opened; try again.")
      }
      if !isFirst { try checkNothingLost(found) }
      next = found
      isForced = forced
      given = adopted
      inStep = [database]
      kept = [source]
      if let level, let other = opened[level], let behind = findings[level]?.header,
        bringLevel(other, behind, from: database, found)
      {
        inStep.append(other)
        kept.append(level)
        inStep.sort { $0.leg.rawValue < $1.leg.rawValue }
      }
    }
    if isForced { logger.critical("started by force", metadata: ["leg": "\(inStep.first?.leg.rawValue ?? "")"]) }
    for leg in LegID.allCases { noteOpening(leg, findings[leg] ?? .absent("not configured")) }
    try serve(next, witness, adopting: given, isForced: isForced, isFirst: isFirst)
  }

  private func noteOpening(_ leg: LegID, _ finding: LegFinding) {
    if let database = inStep.first(where: { $0.leg == leg }) {
      setOpen(database)
      publish(leg, .inStep)
    } else {
      switch finding {
      case .absent(let reason): setLost(leg, reason, isError: false)
      case .blank, .damaged: setLost(leg, Explainer.describe(finding), isError: false)
      case .incomplete, .complete:
        setLost(leg, "missed changes", isError: false)
        publish(leg, .stale, "missed changes: \(Explainer.describe(finding))")
      }
    }
  }

  /// The first transaction: epoch, migrations, and a generation where the members are others than on record.
  private func serve(
    _ found: LegHeader, _ witness: Witness?, adopting adopted: Set<GenerationID>, isForced: Bool, isFirst: Bool
  ) throws(ControlStateError) {
    let migrations = configuration.migrations
    guard found.migrations <= migrations.count else {
      throw .newerSchema(
        explanation: "The state was written by a newer version (schema \(found.migrations), this one knows "
          + "\(migrations.count)). Install that version again.")
    }
    header = found
    witnessed = witness?.generation
    failure = nil
    do throws(RPCError) {
      try write(
        leavingOut: [:], Room(isOwn: true),
        changing: { header in
          if isFirst { header.epoch = header.epoch &+ 1 }
          header.migrations = migrations.count
          // A force is a new generation even where the members stay: what the other leg holds is given up.
          if isForced { header.generation = .random() }
          header.ancestors.formUnion(adopted)
        },
        { transaction in
          for migration in migrations.dropFirst(found.migrations) { try transaction.execute(migration) }
          if isForced { try GivenUp.note(adopted, in: &transaction) }
        })
    } catch {
      failure = error.message
      for leg in inStep { leg.close() }
      inStep = []
      throw .unavailable(explanation: error.message)
    }
    published.epoch = epoch
    keepReserves()
  }

  /// What was answered must be on the leg that is started from.
  private func checkNothingLost(_ found: LegHeader) throws(ControlStateError) {
    guard let header, let acknowledged else { return }
    guard found.host == header.host, found.includes(acknowledged.generation), found.sequence >= acknowledged.sequence,
      found.epoch == header.epoch
    else { throw .unavailable(explanation: "The leg that is back misses what was answered; restart the service.") }
  }

  /// What a leg holds, and its open database where it holds one that can be read.
  func inspect(_ leg: LegID) -> (LegFinding, LegDatabase?) { Self.result(of: beginInspection(of: leg)) }

  private typealias Inspection = LegThread.Pending<(LegFinding, LegDatabase?)>

  private static func result(of inspection: Inspection?) -> (LegFinding, LegDatabase?) {
    do { return try inspection?.value() ?? (.absent("not configured"), nil) } catch {
      return (.absent(Self.describe(error)), nil)
    }
  }

  private func beginInspection(of leg: LegID) -> Inspection? {
    guard let thread = threads[leg], let directory = configuration.directory(of: leg) else { return nil }
    let (mark, hook) = (configuration.shotMarks[leg], configuration.hook)
    return thread.begin {
      switch LegPresence.look(directory: directory, shotMark: mark) {
      case .shot: return (.absent("its module is isolated (shot mark)"), nil)
      case .absent(let reason): return (.absent(reason), nil)
      case .present(let identity?) where identity.file != 0:
        return Self.inspect(directory, shotMark: mark, on: thread) { try hook?(leg, .begin) }
      case .present: return (.blank, nil)
      }
    }
  }

  /// Opens a leg's database. Called on the leg's thread.
  private static func inspect(
    _ directory: String, shotMark: String?, on thread: LegThread, after hook: () throws -> Void
  ) -> (LegFinding, LegDatabase?) {
    do {
      try hook()
      let opened = try LegDatabase(on: thread, directory: directory, shotMark: shotMark)
      let header = try opened.header()
      // Never opened to serve: setting up was interrupted, nothing was ever answered from it.
      if header.epoch == 0 && header.isComplete && header.ancestors.isEmpty { return (.blank, nil) }
      return (header.isComplete ? .complete(header) : .incomplete(header), opened)
    } catch {
      if (error as? DatabaseError)?.resultCode.primaryResultCode == .SQLITE_BUSY {
        return (.damaged(Self.lockedReason), nil)
      }
      return (.damaged(Self.describe(error)), nil)
    }
  }

  static var lockedReason: String { "locked by another process" }

  /// Sets up both legs with the same empty database.
  private func initialise() throws(ControlStateError) -> (LegHeader, [LegID: LegDatabase]) {
    let header = LegHeader(
      host: GenerationID.random().rawValue, service: configuration.service.rawValue, generation: .random(),
      generationMilliseconds: configuration.now(), members: Set(LegID.allCases), isComplete: true, sequence: 0,
      epoch: 0, migrations: 0, requestFloor: 0, ancestors: [])
    var opened: [LegID: LegDatabase] = [:]
    do {
      for leg in LegID.allCases {
        guard let directory = configuration.directory(of: leg), let thread = threads[leg] else { continue }
        let mark = configuration.shotMarks[leg]
        opened[leg] = try thread.run {
          try FileOperations.makeDirectory(directory)
          try LegDatabase.create(in: directory, header)
          return try LegDatabase(on: thread, directory: directory, shotMark: mark)
        }
      }
    } catch {
      for database in opened.values { database.close() }
      throw .unavailable(explanation: "The legs cannot be set up: \(Self.describe(error))")
    }
    return (header, opened)
  }

  /// Plays the one transaction that the leg misses. False when it cannot: then it is copied.
  private func bringLevel(_ other: LegDatabase, _ behind: LegHeader, from source: LegDatabase, _ found: LegHeader)
    -> Bool
  {
    if behind.sequence == found.sequence { return true }
    guard behind.sequence == found.sequence - 1 else { return false }
    do {
      guard let statements = try source.access({ try Redo.read($0, sequence: found.sequence) }) else { return false }
      try other.access { database in
        try database.beginTransaction(.immediate)
        for statement in statements { try statement.replay(database) }
        try found.update(database, from: behind)
        try Redo.write(statements, sequence: found.sequence, to: database)
        try database.commit()
      }
      return true
    } catch {
      other.rollBack()
      logger.warning("leg not brought level", metadata: ["leg": "\(other.leg.rawValue)", "reason": "\(error)"])
      return false
    }
  }
}
