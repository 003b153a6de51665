import AlertAPI
import BlockLayers
import ControlState
import Primitives
import RPC
import ServiceAPI
import StorageAPI
import Synchronization

/// The legs: how they stand, what is told of them, and making them equal.
extension StorageService {
  func legStatus() async throws(RPCError) -> GetLegs.Result {
    let known = state.legs()
    return try await blocking {
      .init(
        legs: known.map { leg in
          StorageLeg(
            leg: leg.leg, state: StorageLegState(rawValue: leg.state.rawValue) ?? .lost, reason: leg.reason,
            sinceMilliseconds: leg.sinceMilliseconds, doneBytes: leg.doneBytes, totalBytes: leg.totalBytes,
            freeBytes: leg.state == .lost ? nil : self.files.freeBytes(on: leg.leg),
            paths: self.files.status(ofPathsTo: leg.leg))
        })
    }
  }

  /// Runs until it is cancelled: takes lost legs out of use, tells of changes, and compares what a crash left different.
  public func run() async throws {
    // Whoever waited for this instance comes first: what reads much can wait.
    let settled = ContinuousClock.now + StorageLimits.settlingTime
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await self.followLegs(settled: settled) }
      group.addTask { await self.runJobs() }
      group.addTask {
        await self.finishCommits()
        try await Task.sleep(until: settled)
        await self.compareLegs()
        await self.removeStrayFiles()
        await self.beginSums()
        // Work that ends is no reason to stop the service.
        try await Task.sleep(for: .seconds(1 << 30))
      }
      group.addTask {
        while true {
          try await Task.sleep(for: StorageLimits.idleTime)
          await self.operations.run { self.legs.coolDown() }
          await self.saveIdleChanges()
        }
      }
      group.addTask {
        while true {
          try await Task.sleep(for: StorageLimits.pathProbe)
          await self.operations.run { self.legs.watchPaths() }
        }
      }
      group.addTask { try await self.scrubNowAndThen() }
      try await group.next()
      group.cancelAll()
    }
  }

  // MARK: Changes

  private func followLegs(settled: ContinuousClock.Instant) async {
    await tell(of: state.legs())
    for await statuses in state.legChanges() {
      for status in statuses where status.state == .lost || status.state == .stale {
        await operations.run { self.legs.takeOut(status.leg) }
      }
      releaseHeld()
      await tell(of: statuses)
      // Not waited for: a leg may be lost while it lasts.
      guard statuses.allSatisfy({ $0.state == .inStep }) else { continue }
      Task {
        try? await Task.sleep(until: settled)
        await compareLegs()
      }
    }
  }

  /// Publishes what changed since it was last told, by whichever instance.
  private func tell(of statuses: [LegStatus]) async {
    do throws(RPCError) {
      let told = try await state.read { database in try Catalog.toldLegs(in: database) }
      for status in statuses where told[status.leg, default: LegState.inStep.rawValue] != status.state.rawValue {
        if status.state == .resyncing, told[status.leg] != LegState.lost.rawValue { publish(change: lost(status)) }
        publish(change: status)
        try await state.write { transaction in
          try transaction.execute(
            "INSERT OR REPLACE INTO legAlert (leg, state) VALUES (?, ?)",
            [status.leg.rawValue, status.state.rawValue])
        }
      }
    } catch {
      environment.logger.error("a leg's change could not be recorded", metadata: ["error": "\(error)"])
    }
  }

  /// What a leg that is back already was in between: changes that follow each other fast may be seen as one.
  private func lost(_ status: LegStatus) -> LegStatus {
    var lost = status
    lost.state = .lost
    return lost
  }

  private func publish(change status: LegStatus) {
    let leg = status.leg
    let reason = status.reason ?? "no reason is known"
    var data: [String: JSONValue] = [
      "reason": .string(reason), "sinceMilliseconds": .integer(status.sinceMilliseconds),
    ]
    switch status.state {
    case .lost:
      publish(
        .critical, .legLost, leg.rawValue,
        """
        Leg \(leg) was dropped (\(reason)). Volumes are kept on \(leg.other) alone (simplex): the loss of that one \
        would lose data. Repair I/O module \(leg) and bring it online; it is then brought into step by itself.
        """, data)
    case .stale:
      publish(
        .error, .legStale, leg.rawValue,
        "Leg \(leg) is there but older than the data in service (\(reason)); it is brought into step before it counts.",
        data)
    case .resyncing:
      if let total = status.totalBytes { data["totalBytes"] = .integer(total) }
      publish(
        .info, .resyncStarted, leg.rawValue,
        "Leg \(leg) is brought into step while virtual machines go on; volume.legs shows how far it is.", data)
    case .inStep:
      if let copied = copiedBytes.withLock({ $0.removeValue(forKey: leg) }) { data["copiedBytes"] = .integer(copied) }
      publish(
        .info, .legInStep, leg.rawValue,
        "Leg \(leg) holds all that was acknowledged; volumes are mirrored again (duplex).", data)
    }
  }

  // MARK: Resync

  /// Copies every layer to a leg that is back, while clients write. What `ControlState` calls before the leg counts.
  ///
  /// Throws when the leg fails on the way; it is tried again by whoever called.
  public func resync(
    to leg: LegID, progress: @escaping @Sendable (_ doneBytes: Int64, _ totalBytes: Int64) -> Void
  ) async throws {
    do {
      // A call that hung may still change what it was meant to.
      while legs.isStuck(leg) { try await Task.sleep(for: StorageLimits.stuckPause) }
      try await resyncs.run {
        self.files.probePaths()
        self.legs.beginReceiving(leg)
        try self.files.makeRoots(on: leg)
      }
      try step("resync.copy")
      let copied = try await copyAll(to: leg, progress: progress)
      try step("resync.complete")
      let known = try await knownFiles()
      let isComplete = try await resyncs.run {
        try self.store.removeOthers(than: known, on: leg)
        self.files.keepReserve(on: leg)
        return self.legs.completeReceiving(leg)
      }
      guard isComplete else { throw BlockError(.io, "leg \(leg) was lost again") }
      copiedBytes.withLock { $0[leg] = copied }
      try await state.write { transaction in
        try transaction.execute("UPDATE volume SET legsDiffer = 0 WHERE legsDiffer = 1")
      }
    } catch {
      await resyncs.run { self.legs.endReceiving(leg) }
      publish(
        .error, .resyncFailed, leg.rawValue,
        "Leg \(leg) could not be brought into step: \(error). It is tried again; look at I/O module \(leg).")
      throw error
    }
  }

  /// Copies layers until the leg has all there are: operations go on meanwhile, and make and rename files. Of each only
  /// what the leg misses is copied, where that is known. Returns how many bytes were copied.
  private func copyAll(
    to leg: LegID, progress: @escaping @Sendable (Int64, Int64) -> Void
  ) async throws -> Int64 {
    // A merge gives a layer another file, and its row other words: it is copied again then.
    var copied: [String: LayerRecord] = [:]
    var done: Int64 = 0
    while true {
      let layers = try await state.read { database in try Catalog.layers(in: database) }
      let finished = copied
      let missing = await resyncs.run {
        layers.filter { finished[$0.id] != $0 || !self.store.exists($0, on: leg) }
      }
      if missing.isEmpty { return done }
      var rest = await resyncs.run { missing.map { self.store.length($0) } }.reduce(0, +)
      for layer in missing {
        try Task.checkCancellation()
        try step("resync.layer")
        // It may have been renamed or removed since the list was made.
        guard let current = try await state.read({ database in try Catalog.layer(layer.id, in: database) }) else {
          continue
        }
        let (before, others) = (done, max(rest - (await resyncs.run { self.store.length(current) }), 0))
        done += try await resyncs.run {
          // How much the leg misses of the layers that follow is not known yet: at most their length.
          try self.store.copy(current, to: leg) { progress(before + $0, before + $1 + others) }
        }
        rest = others
        copied[current.id] = current
      }
      progress(done, done)
    }
  }

  // MARK: Comparison after a crash

  /// Makes the legs equal where a crash may have left writes on one and not on the other. Reads come from the first
  /// leg meanwhile, so nobody sees a difference.
  private func compareLegs() async {
    guard !isComparing.exchange(true, ordering: .acquiringAndReleasing) else { return }
    defer { isComparing.store(false, ordering: .releasing) }
    let marked =
      (try? await state.read { database in
        try Catalog.volumes(in: database).filter(\.legsDiffer).map(\.name)
      }) ?? []
    for volume in marked {
      guard legs.inStep.count == 2, !Task.isCancelled else { return }
      do {
        guard let comparison = try await equalize(try await chain(of: volume)) else { return }
        publish(
          .info, .volumeInStep, volume.rawValue,
          """
          Both legs of volume \(volume) were compared where it was being written when the storage service ended \
          unexpectedly; they are equal.
          """,
          [
            "comparedBytes": .integer(comparison.comparedBytes), "repairedBytes": .integer(comparison.repairedBytes),
          ])
      } catch {
        environment.logger.error(
          "the legs of a volume could not be compared", metadata: ["volume": "\(volume)", "error": "\(error)"])
      }
    }
  }

  /// Makes the second leg of a volume equal to the first and notes it durably. Nil when there are no two legs.
  func equalize(_ chain: Chain) async throws(RPCError) -> Comparison? {
    var sum = Comparison()
    for layer in chain.ownLayers {
      let comparison = try await blocking(on: resyncs) { () throws(RPCError) in
        do throws(BlockError) { return try self.store.equalize(layer) } catch {
          throw Self.complaint(about: error, while: "comparing the legs of volume \(chain.volume.name)")
        }
      }
      guard let comparison else { return nil }
      sum += comparison
    }
    try await state.write { transaction in
      try transaction.execute("UPDATE volume SET legsDiffer = 0 WHERE name = ?", [chain.volume.name.rawValue])
    }
    return sum
  }
}
