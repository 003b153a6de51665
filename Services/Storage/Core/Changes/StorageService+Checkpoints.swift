import BlockLayers
import ControlState
import Primitives
import RPC
import StorageAPI

/// Checkpoints: moments from which on it is kept which blocks of a volume change.
extension StorageService {
  func deleteCheckpoint(_ params: DeleteCheckpoint.Params) async throws(RPCError) -> VolumeStatus {
    let name = params.volume
    return try await locks.with(name.rawValue, for: DeleteCheckpoint.name) { () throws(RPCError) in
      if let answer = try await state.answer(for: DeleteCheckpoint.self, params) { return answer }
      let chain = try await chain(of: name)
      guard let checkpoint = chain.checkpoints.first(where: { $0.name == params.checkpoint }) else {
        throw Complaint.noSuchCheckpoint(params.checkpoint, of: name)
      }
      var planned = chain
      planned.checkpoints.removeAll { $0.id == checkpoint.id }
      let plan = planned
      try step("deleteCheckpoint.commit")
      // What changes is noted for the newest one: from now on it is another.
      guard checkpoint.id == chain.checkpoints.last?.id else { return try await remove(checkpoint, params, plan) }
      return try await withClientsWaiting(for: name) { () throws(RPCError) in
        try await remove(checkpoint, params, plan)
      }
    }
  }

  private func remove(
    _ checkpoint: CheckpointRecord, _ params: DeleteCheckpoint.Params, _ plan: Chain
  ) async throws(RPCError) -> VolumeStatus {
    try await freeingSpace { () throws(RPCError) in
      try await state.perform(DeleteCheckpoint.self, params) { transaction in
        try transaction.remove(checkpoint)
        return self.status(of: plan)
      }
    }
  }

  /// The checkpoint that is asked for with a snapshot; nil when none is.
  func newCheckpoint(
    _ name: CheckpointName?, of chain: Chain, with snapshot: SnapshotName
  ) throws(RPCError) -> CheckpointRecord? {
    guard let name else { return nil }
    guard !chain.checkpoints.contains(where: { $0.name == name }) else {
      throw Complaint.checkpointExists(name, of: chain.volume.name)
    }
    guard chain.checkpoints.count < StorageLimits.checkpoints else {
      throw Complaint.tooManyCheckpoints(chain.volume.name)
    }
    return CheckpointRecord(
      volume: chain.volume.name, name: name, snapshot: snapshot, sizeBytes: chain.volume.sizeBytes,
      createdMilliseconds: environment.now())
  }

  // MARK: Tracking

  /// What notes the changes of a volume that is being opened; nil when nothing is to be noted.
  func tracker(of chain: Chain) async throws(RPCError) -> ChangeTracker? {
    guard let checkpoint = chain.checkpoints.last, !checkpoint.isAllChanged else { return nil }
    let id = checkpoint.id
    let rows = try await state.read { database in try Catalog.changes(after: id, in: database) }
    return ChangeTracker(checkpoint: id, sizeBytes: chain.volume.sizeBytes, rows: rows) { spans throws(BlockError) in
      try self.change("which blocks change") { transaction in try transaction.heat(spans, after: id) }
    } store: { rows throws(BlockError) in
      try self.change("which blocks changed") { transaction in
        for row in rows { try transaction.store(row, after: id) }
      }
    }
  }

  private func change(
    _ what: String, _ body: @escaping @Sendable (inout Transaction) throws -> Void
  ) throws(BlockError) {
    do throws(RPCError) {
      try waitBlocking { () throws(RPCError) in
        // A guest must be able to write what is allocated already also when the legs are full.
        try await self.freeingSpace { () throws(RPCError) in try await self.state.write { try body(&$0) } }
      }
    } catch {
      throw BlockError(
        error.matches(StorageFailure.outOfSpace) ? .noSpace : .io, "\(what) cannot be stored: \(error.message)")
    }
  }

  /// Stores what changed in layers that were just closed. What fails leaves more counted as changed than did.
  func saveChanges(of stack: VolumeStack) async {
    guard let tracker = stack.tracker else { return }
    await save(tracker, all: true)
  }

  /// Stores what changed where nothing new changes any more, so that a crash has little counted that did not.
  func saveIdleChanges() async {
    for volume in table.openVolumes() {
      // Whoever works on the volume's layers closes them, which stores it.
      try? await locks.with(volume.rawValue, for: "storing changes", patience: .zero) { () throws(RPCError) in
        guard let tracker = table.stack(of: volume)?.tracker else { return }
        await save(tracker, all: false)
      }
    }
  }

  private func save(_ tracker: ChangeTracker, all: Bool) async {
    let failure = await operations.run { () -> BlockError? in
      do throws(BlockError) { try tracker.save(all: all) } catch { return error }
      return nil
    }
    guard let failure else { return }
    environment.logger.warning("changes were not stored exactly", metadata: ["error": "\(failure)"])
  }
}

extension CheckpointRecord {
  /// The checkpoint as callers see it.
  var status: CheckpointStatus {
    CheckpointStatus(
      checkpoint: name, snapshot: snapshot, sizeBytes: sizeBytes, createdMilliseconds: createdMilliseconds)
  }
}
