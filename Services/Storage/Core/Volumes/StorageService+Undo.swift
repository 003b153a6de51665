import ControlState
import Primitives
import RPC
import StorageAPI

/// Undo layers: put on top, folded into the parent, thrown away.
extension StorageService {
  func enableUndo(_ params: EnableUndo.Params) async throws(RPCError) -> VolumeStatus {
    let name = params.volume
    return try await locks.with(name.rawValue, for: EnableUndo.name) { () throws(RPCError) in
      let chain = try await chain(of: name)
      if chain.hasUndoLayer { return try await blocking { self.status(of: chain) } }
      try await requireDisconnected(chain.volume)
      let planned = Self.withUndo(chain)
      let status = try await replacingTop(by: planned, step: "enableUndo") { () throws(RPCError) in
        try await state.write { transaction in
          try Self.putOnTop(planned, in: &transaction)
          return self.status(of: planned)
        }
      }
      publish(
        .info, .undoEnabled, name.rawValue,
        "Volume \(name) has an undo layer; what is written from now on can be committed or discarded.")
      return status
    }
  }

  func discardUndo(_ params: DiscardUndo.Params) async throws(RPCError) -> VolumeStatus {
    let name = params.volume
    return try await locks.with(name.rawValue, for: DiscardUndo.name) { () throws(RPCError) in
      if let answer = try await state.answer(for: DiscardUndo.self, params) { return answer }
      let chain = try await chain(of: name)
      guard let undo = chain.layers.first, chain.hasUndoLayer else { throw Complaint.noUndoLayer(name) }
      try await requireDisconnected(chain.volume)
      // The layer below would be written again, and may be part of a merge.
      try await requireNoJob(on: name)
      let unfinished = try await state.read { database in try Catalog.commit(of: name, in: database) }
      guard unfinished == nil else { throw Complaint.commitUnfinished(name) }
      let planned = Self.withoutUndo(chain, keepEnabled: params.keepEnabled == true)
      let status = try await replacingTop(by: planned, step: "discardUndo") { () throws(RPCError) in
        try await freeingSpace { () throws(RPCError) in
          try await state.perform(DiscardUndo.self, params) { transaction in
            try transaction.removeLayer(undo)
            try Self.putOnTop(planned, in: &transaction)
            return self.status(of: planned)
          }
        }
      }
      try step("discardUndo.files")
      await removeLooseFiles([undo.path])
      publish(
        .info, .undoDiscarded, name.rawValue,
        "What was written to volume \(name) since undo was enabled was discarded.",
        ["layer": .string(undo.id), "keepEnabled": .bool(params.keepEnabled == true)])
      return status
    }
  }

  func commitUndo(_ params: CommitUndo.Params) async throws(RPCError) -> VolumeStatus {
    let name = params.volume
    return try await locks.with(name.rawValue, for: CommitUndo.name) { () throws(RPCError) in
      if let answer = try await state.answer(for: CommitUndo.self, params) { return answer }
      let chain = try await chain(of: name)
      guard let undo = chain.layers.first, chain.hasUndoLayer else { throw Complaint.noUndoLayer(name) }
      try await requireDisconnected(chain.volume)
      try await requireNoJob(on: name)
      try step("commitUndo.intent")
      let commit = CommitRecord(
        volume: name, layer: undo.id, keepEnabled: params.keepEnabled, requestKey: params.requestKey?.rawValue)
      try await state.write { transaction in
        try transaction.insert(commit)
        try transaction.execute("UPDATE volume SET openForWriting = 1 WHERE name = ?", [name.rawValue])
      }
      return try await finish(commit, of: chain)
    }
  }

  /// Copies what the undo layer holds into its parent, however much of it was copied before, and puts the parent (or a
  /// new undo layer over it) on top. The caller holds the volume's lock.
  ///
  /// Until the last transaction the undo layer covers all that is written below it, so that the volume reads the same
  /// whenever this stops.
  func finish(_ commit: CommitRecord, of chain: Chain) async throws(RPCError) -> VolumeStatus {
    guard let undo = chain.layers.first, undo.id == commit.layer else { throw Complaint.noUndoLayer(commit.volume) }
    let planned = Self.withoutUndo(chain, keepEnabled: commit.keepEnabled == true)
    var params = CommitUndo.Params(volume: commit.volume, keepEnabled: commit.keepEnabled)
    params.requestKey = commit.requestKey.flatMap(RequestKey.init(rawValue:))
    let status: VolumeStatus
    do throws(RPCError) {
      try step("commitUndo.copy")
      let copied = try await blocking(on: copies) { () throws(RPCError) in try self.store.commit(chain) }
      environment.logger.info(
        "undo layer was folded", metadata: ["volume": "\(commit.volume)", "bytes": "\(copied)"])
      status = try await replacingTop(by: planned, step: "commitUndo") { () throws(RPCError) in
        try await state.perform(CommitUndo.self, params) { transaction in
          try transaction.removeCommit(of: commit.volume)
          try transaction.removeLayer(undo)
          try Self.putOnTop(planned, in: &transaction)
          try transaction.execute("UPDATE volume SET openForWriting = 0 WHERE name = ?", [commit.volume.rawValue])
          return self.status(of: planned)
        }
      }
    } catch {
      publish(
        .error, .undoCommitFailed, commit.volume.rawValue,
        """
        The commit of volume \(commit.volume)'s undo layer did not end: \(error.message) The volume reads as before; \
        call volume.commitUndo again.
        """, ["kind": .string(error.kind)])
      throw error
    }
    try step("commitUndo.files")
    await removeLooseFiles([undo.path])
    publish(
      .info, .undoCommitted, commit.volume.rawValue,
      "What was written to volume \(commit.volume) since undo was enabled is part of it for good.",
      ["layer": .string(undo.id), "keepEnabled": .bool(commit.keepEnabled == true)])
    return status
  }

  // MARK: Parts

  private static func withUndo(_ chain: Chain) -> Chain {
    var layered = chain
    layered.layers.insert(
      LayerRecord(
        id: LayerID.random(), role: .undo, parent: chain.layers.first?.id, owner: .volume(chain.volume.name)), at: 0)
    layered.volume.top = layered.layers[0].id
    return layered
  }

  /// The chain below the undo layer, with a new undo layer where one is to be kept.
  private static func withoutUndo(_ chain: Chain, keepEnabled: Bool) -> Chain {
    var lower = chain
    lower.layers.removeFirst()
    lower.volume.top = lower.layers.first?.id ?? chain.volume.top
    return keepEnabled ? withUndo(lower) : lower
  }

  /// Makes the new undo layer that the plan has on top, if any, then runs `commit`, which makes the plan true.
  private func replacingTop(
    by planned: Chain, step name: String, commit: () async throws(RPCError) -> VolumeStatus
  ) async throws(RPCError) -> VolumeStatus {
    guard let new = planned.layers.first, new.role == .undo else {
      try step("\(name).commit")
      return try await commit()
    }
    guard planned.layers.count <= StorageLimits.chainLayers else { throw Complaint.tooManyLayers(planned.volume.name) }
    try step("\(name).plan")
    try await state.write { transaction in try transaction.addLooseFile(new.path) }
    return try await removingLooseFiles(of: [new]) { () throws(RPCError) in
      try step("\(name).file")
      try await make(1, topmostOf: planned)
      try step("\(name).commit")
      return try await commit()
    }
  }

  /// Makes the plan's topmost layer the volume's; one that is new enters the state.
  static func putOnTop(_ planned: Chain, in transaction: inout Transaction) throws {
    guard let top = planned.layers.first else { return }
    if try Catalog.layer(top.id, in: transaction.database) == nil {
      try transaction.removeLooseFile(top.path)
      try transaction.insert(top)
    }
    try transaction.setTop(top.id, of: planned.volume.name)
  }
}
