import ControlState
import Primitives
import RPC
import StorageAPI

/// Snapshots: a layer that is written no more, under a name, and a new one on top.
extension StorageService {
  func createSnapshot(_ params: CreateSnapshot.Params) async throws(RPCError) -> VolumeStatus {
    let name = params.volume
    let description = try Self.checkedDescription(params.description)
    return try await locks.with(name.rawValue, for: CreateSnapshot.name) { () throws(RPCError) in
      if let answer = try await state.answer(for: CreateSnapshot.self, params) { return answer }
      let chain = try await chain(of: name)
      guard !chain.snapshots.contains(where: { $0.name == params.snapshot }) else {
        throw Complaint.snapshotExists(params.snapshot, of: name)
      }
      if chain.hasUndoLayer { throw Complaint.snapshotUndo(name) }
      let checkpoint = try newCheckpoint(params.checkpoint, of: chain, with: params.snapshot)
      guard chain.snapshots.count < StorageLimits.snapshots else { throw Complaint.tooManySnapshots(name) }
      let snapshot = SnapshotRecord(
        volume: name, name: params.snapshot, layer: chain.volume.top, sizeBytes: chain.volume.sizeBytes,
        description: description, createdMilliseconds: environment.now())
      var planned = Self.withNewTop(chain)
      planned.snapshots.append(snapshot)
      if let checkpoint { planned.checkpoints.append(checkpoint) }
      let plan = planned
      let status = try await changingTop(of: chain, to: plan, step: "createSnapshot") { () throws(RPCError) in
        try await state.perform(CreateSnapshot.self, params) { transaction in
          try transaction.insert(snapshot)
          if let checkpoint { try transaction.insert(checkpoint) }
          try Self.putOnTop(plan, in: &transaction)
          return self.status(of: plan)
        }
      }
      publish(
        .info, .snapshotCreated, name.rawValue, "Snapshot \(params.snapshot) of volume \(name) was taken.",
        ["snapshot": .string(params.snapshot.rawValue)])
      return status
    }
  }

  func revertToSnapshot(_ params: RevertToSnapshot.Params) async throws(RPCError) -> VolumeStatus {
    let name = params.volume
    return try await locks.with(name.rawValue, for: RevertToSnapshot.name) { () throws(RPCError) in
      if let answer = try await state.answer(for: RevertToSnapshot.self, params) { return answer }
      let chain = try await chain(of: name)
      let snapshot = try Self.snapshot(params.snapshot, of: chain)
      try await requireDisconnected(chain.volume)
      try await requireNoJob(on: name)
      let unfinished = try await state.read { database in try Catalog.commit(of: name, in: database) }
      guard unfinished == nil else { throw Complaint.commitUnfinished(name) }
      let tree = SnapshotTree(chain)
      let dropped = tree.sinceLastSnapshot
      var reverted = chain
      reverted.layers = tree.chain(from: snapshot.layer)
      reverted.volume.sizeBytes = snapshot.sizeBytes
      reverted = Self.withNewTop(reverted)
      let kept = Set(reverted.layers.map(\.id) + dropped.map(\.id))
      reverted.branches = (chain.layers + chain.branches).filter { $0.image == nil && !kept.contains($0.id) }
      let plan = reverted
      let status = try await changingTop(of: chain, to: plan, step: "revertToSnapshot") { () throws(RPCError) in
        try await freeingSpace { () throws(RPCError) in
          try await state.perform(RevertToSnapshot.self, params) { transaction in
            for layer in dropped { try transaction.removeLayer(layer) }
            // What was written since is among the changes already.
            if chain.checkpoints.last?.snapshot != snapshot.name { try transaction.markAllChanged(name) }
            try Self.putOnTop(plan, in: &transaction)
            try transaction.execute(
              "UPDATE volume SET sizeBytes = ? WHERE name = ?", [plan.volume.sizeBytes, name.rawValue])
            return self.status(of: plan)
          }
        }
      }
      try step("revertToSnapshot.files")
      await removeLooseFiles(dropped.map(\.path))
      publish(
        .info, .snapshotReverted, name.rawValue,
        "Volume \(name) has the content of snapshot \(params.snapshot) again; what was written since is gone.",
        ["snapshot": .string(params.snapshot.rawValue)])
      return status
    }
  }

  /// Forgets the name and removes the layers that nobody needs; what has to be merged is left to a job.
  func deleteSnapshot(_ params: DeleteSnapshot.Params) async throws(RPCError) -> JobStatus {
    let name = params.volume
    return try await locks.with(name.rawValue, for: DeleteSnapshot.name) { () throws(RPCError) in
      if let answer = try await state.answer(for: DeleteSnapshot.self, params) { return answer }
      let chain = try await chain(of: name)
      let snapshot = try Self.snapshot(params.snapshot, of: chain)
      try await requireNoJob(on: name)
      let unneeded = SnapshotTree(chain).unneeded(without: snapshot)
      let now = environment.now()
      try step("deleteSnapshot.commit")
      let status = try await freeingSpace { () throws(RPCError) in
        try await state.perform(DeleteSnapshot.self, params) { transaction in
          try transaction.execute(
            "DELETE FROM snapshot WHERE volume = ? AND name = ?", [name.rawValue, params.snapshot.rawValue])
          try transaction.execute(
            "UPDATE checkpoint SET snapshot = NULL WHERE volume = ? AND snapshot = ?",
            [name.rawValue, params.snapshot.rawValue])
          for layer in unneeded { try transaction.removeLayer(layer) }
          var job = JobRecord(id: 0, operation: .deleteSnapshot, volume: name, createdMilliseconds: now)
          guard let left = try Catalog.chain(of: name, in: transaction.database) else {
            throw Complaint.noSuchVolume(name)
          }
          if SnapshotTree(left).mergeable == nil {
            job.state = .done
            job.endedMilliseconds = now
          }
          return try transaction.insert(job).status
        }
      }
      try step("deleteSnapshot.files")
      await removeLooseFiles(unneeded.map(\.path))
      publish(
        .info, .snapshotDeleted, name.rawValue, "Snapshot \(params.snapshot) of volume \(name) was deleted.",
        ["snapshot": .string(params.snapshot.rawValue), "job": .integer(status.job)])
      if status.state == .running { try await beginJob(status.job) }
      return status
    }
  }

  /// Has a job run that a call entered into the state.
  func beginJob(_ id: Int64, holding lock: VolumeName? = nil) async throws(RPCError) {
    guard let job = try await state.read({ database in try Catalog.job(id, in: database) }) else {
      throw Complaint.noSuchJob(id)
    }
    jobs.begin(job, holding: lock)
  }

  // MARK: Parts

  static func checkedDescription(_ description: String?) throws(RPCError) -> String {
    let description = description ?? ""
    guard description.count <= StorageLimits.descriptionCharacters else {
      throw Complaint.invalidParameter(
        "A description has at most \(StorageLimits.descriptionCharacters) characters; this one has \(description.count)."
      )
    }
    return description
  }

  static func snapshot(_ name: SnapshotName, of chain: Chain) throws(RPCError) -> SnapshotRecord {
    guard let found = chain.snapshots.first(where: { $0.name == name }) else {
      throw Complaint.noSuchSnapshot(name, of: chain.volume.name)
    }
    return found
  }

  /// The chain with a new, empty layer on top.
  static func withNewTop(_ chain: Chain) -> Chain {
    var layered = chain
    layered.layers.insert(
      LayerRecord(
        id: LayerID.random(), role: .differencing, parent: chain.layers.first?.id, owner: .volume(chain.volume.name)),
      at: 0)
    layered.volume.top = layered.layers[0].id
    return layered
  }

  /// Makes the new layer that a plan has on top, then has clients wait, runs `commit`, which makes the plan true, and
  /// lets them go on with it.
  func changingTop<T>(
    of chain: Chain, to plan: Chain, step name: String, commit: () async throws(RPCError) -> T
  ) async throws(RPCError) -> T {
    guard let new = plan.layers.first else { throw Complaint.internalError("the plan has no layer") }
    guard plan.layers.count <= StorageLimits.chainLayers else { throw Complaint.tooManyLayers(plan.volume.name) }
    try step("\(name).plan")
    try await state.write { transaction in try transaction.addLooseFile(new.path) }
    return try await removingLooseFiles(of: [new]) { () throws(RPCError) in
      try step("\(name).file")
      try await make(1, topmostOf: plan)
      try step("\(name).commit")
      return try await withClientsWaiting(for: chain.volume.name) { () throws(RPCError) in try await commit() }
    }
  }
}
