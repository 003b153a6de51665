import GRDB
import Logging
import Primitives
import RPC
import ServiceAPI

/// When a leg is tried again.
struct Retry {
  var failures = 0
  var at: Int64 = 0
  /// Directory and file that were refused for what they hold.
  var refused: LegIdentity??
}

extension Engine {
  /// Looks at a leg. One that does not answer counts as absent.
  func look(_ leg: LegID) -> LegPresence {
    let (directory, mark) = (configuration.directory(of: leg), configuration.shotMarks[leg])
    do {
      return try onThread(of: leg) { LegPresence.look(directory: directory, shotMark: mark) }
    } catch {
      return .absent(Self.describe(error))
    }
  }

  /// Does something on a leg's thread.
  func onThread<T>(of leg: LegID, _ body: @escaping () throws -> T) throws -> T {
    guard let thread = threads[leg] else { throw LegGone(reason: "no thread") }
    return try thread.run(body)
  }

  /// Takes legs out of service that the records already leave out, or will before the next answer.
  func remove(_ failed: [LegID: LegFailure]) {
    for (leg, failure) in failed {
      guard let index = inStep.firstIndex(where: { $0.leg == leg }) else { continue }
      inStep.remove(at: index).close()
      logger.error("leg dropped", metadata: ["leg": "\(leg.rawValue)", "reason": "\(failure.reason)"])
      setLost(leg, failure.reason, isError: failure.isError)
    }
  }

  /// Notes that a leg is out of service. After an error it is left alone for a while, longer each time.
  func setLost(_ leg: LegID, _ reason: String, isError: Bool) {
    var retry = retries[leg] ?? Retry()
    if isError {
      let delay = min(
        configuration.retryDelay.milliseconds << min(retry.failures, 16), configuration.retryLimit.milliseconds)
      retry.failures += 1
      retry.at = monotonicMilliseconds() + delay
    } else {
      retry = Retry()
    }
    retries[leg] = retry
    published.expect(.away(retryAt: retry.at), of: leg)
    publish(leg, .lost, reason)
  }

  /// Notes that a leg is there but holds what must not be overwritten.
  func setRefused(_ leg: LegID, _ state: LegState, _ reason: String, _ identity: LegIdentity?) {
    published.expect(.refused(identity), of: leg)
    logger.error("leg refused", metadata: ["leg": "\(leg.rawValue)", "reason": "\(reason)"])
    publish(leg, state, reason)
  }

  func setOpen(_ leg: LegDatabase) {
    let configuration = configuration
    leg.follow { [id = leg.leg] in configuration.directory(of: id) }
    published.expect(.open(leg.identity), of: leg.leg)
  }

  func publish(_ leg: LegID, _ state: LegState, _ reason: String? = nil, done: Int64? = nil, total: Int64? = nil) {
    published.set(
      LegStatus(
        leg: leg, state: state, reason: reason, sinceMilliseconds: configuration.now(), doneBytes: done,
        totalBytes: total))
  }

  /// Takes the space for changes that must be possible when the disk is full, where that is not taken.
  func keepReserves() {
    for leg in inStep { leg.keepReserve() }
    if configuration.witnessReserve.isDue { configuration.witnessReserve.keep() }
  }

  /// Puts the generation in service on record outside the legs.
  func writeWitness() throws(RPCError) {
    guard let header, witnessed != header.generation else { return }
    let witness = Witness(
      host: header.host, service: header.service, generation: header.generation, members: header.members,
      timeMilliseconds: header.generationMilliseconds)
    do {
      try write(witness)
    } catch {
      throw RPCError(
        CommonFailure.stateUnavailable,
        "The change may have been made, but the record of which leg is in service cannot be written: \(error). Make "
          + "\(configuration.witness) writable and repeat the call.")
    }
    witnessed = header.generation
  }

  private func write(_ witness: Witness) throws(FileError) {
    do throws(FileError) {
      try witness.write(configuration.witness)
    } catch {
      // The legs may be on the same file system.
      guard error.isFull else { throw error }
      let given = inStep.filter { $0.giveUpReserve() }
      let isOwnGiven = configuration.witnessReserve.giveUp()
      defer {
        for leg in given { leg.refillReserve() }
        if isOwnGiven { configuration.witnessReserve.keep() }
      }
      guard isOwnGiven || !given.isEmpty else { throw error }
      try witness.write(configuration.witness)
    }
  }

  /// Looks at every leg: drops those that went away, takes back those that are there again.
  func lookAtLegs(evenIfEarly: Bool) {
    guard !isClosed else { return }
    if failure != nil { return reassemble() }
    if let resync, let complaint = complaint(about: resync) { abandonResync(reason: complaint, isError: false) }
    if inStep.contains(where: { look($0.leg).complaint(about: $0.identity) != nil }) || header?.generation != witnessed
    {
      // Dropping is part of every transaction: an empty one does it.
      do { try write(leavingOut: [:], Room(isOwn: true)) { _ in } } catch {
        logger.error("leg not dropped", metadata: ["error": "\(error)"])
      }
    }
    guard failure == nil else { return }
    keepReserves()
    for leg in LegID.allCases where resync == nil && !inStep.contains(where: { $0.leg == leg }) {
      // A call to it that hangs may still write when it comes back.
      if threads[leg]?.isStuck == true { continue }
      if evenIfEarly || isDue(leg) { takeBack(leg) }
    }
  }

  private func isDue(_ leg: LegID) -> Bool {
    switch published.expectations[leg] {
    case .away(let retryAt): retryAt <= monotonicMilliseconds()
    case .refused(let identity): look(leg) != .present(identity)
    case .open, nil: true
    }
  }

  private func complaint(about resync: Resync) -> String? {
    switch look(resync.leg) {
    case .present(let identity?):
      identity.directory == resync.copy.identity.directory && identity.device == resync.copy.identity.device
        ? nil : "its directory was replaced"
    case .present(nil): "its directory was removed"
    case .absent(let reason): reason
    case .shot: "its module is isolated (shot mark)"
    }
  }

  // MARK: Errors

  func unavailable() -> RPCError {
    if isClosed { return RPCError(CommonFailure.stopping, "The service is handing over; repeat the call.") }
    return RPCError(
      CommonFailure.stateUnavailable,
      failure ?? "No leg is in service; bring an I/O module online and repeat the call.")
  }

  /// Every leg failed at one change.
  func nothingLeft(_ failed: [LegID: LegFailure]) -> RPCError {
    let reasons = failed.sorted { $0.key.rawValue < $1.key.rawValue }
      .map { "\($0.key.rawValue): \($0.value.reason)" }.joined(separator: "; ")
    let others = failed.filter { !$0.value.isFull }
    if others.count < failed.count {
      // A full disk is no reason to go without the leg: nothing was changed, and there is nothing to go on with.
      remove(others)
      return RPCError(
        CommonFailure.stateUnavailable,
        "The change was not made because the disk is full (\(reasons)). Free space and repeat the call.")
    }
    fail(
      "The state is out of reach on both legs (\(reasons)). It is opened again as soon as a leg that is right is back.")
    remove(failed)
    return unavailable()
  }

  func fail(_ reason: String) {
    guard failure == nil else { return }
    failure = reason
    logger.critical("state unavailable", metadata: ["reason": "\(reason)"])
  }

  static func describe(_ error: any Error) -> String {
    if let error = error as? DatabaseError { return "SQLite: \(error.message ?? error.resultCode.description)" }
    if let error = error as? LegGone { return error.reason }
    return "\(error)"
  }

  static func wrap(_ error: any Error) -> RPCError {
    if let error = error as? RPCError { return error }
    return RPCError(CommonFailure.internalError, "The state refused the change: \(describe(error))")
  }
}
