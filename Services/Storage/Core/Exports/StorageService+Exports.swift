import BlockLayers
import ControlState
import NBD
import Primitives
import RPC
import StorageAPI
import Synchronization

/// Who may reach a volume over NBD, and sending them away for good.
extension StorageService {
  func export(_ params: ExportVolume.Params) async throws(RPCError) -> ExportStatus {
    let name = params.volume
    guard let user = UInt32(exactly: params.clientUserID) else {
      throw Complaint.invalidParameter("clientUserID \(params.clientUserID) is not a Unix user.")
    }
    let volume = try await state.write { transaction in
      guard let volume = try Catalog.volume(name, in: transaction.database) else { throw Complaint.noSuchVolume(name) }
      if let asked = params.generation, asked != volume.generation {
        throw Complaint.staleGeneration(name, asked: asked, current: volume.generation)
      }
      if let other = volume.clientUser, other != user {
        let sessions = self.table.sessionCount(of: name)
        if sessions > 0 || volume.connected { throw Complaint.otherClient(name, user: other, sessions: sessions) }
      }
      if volume.clientUser != user {
        try transaction.execute("UPDATE volume SET clientUser = ? WHERE name = ?", [Int64(user), name.rawValue])
      }
      return volume
    }
    return ExportStatus(
      volume: name, exportName: volume.exportName, socketPath: environment.nbdSocketPath,
      sizeBytes: volume.sizeBytes, generation: volume.generation)
  }

  /// Raises the generation durably, then ends the sessions of older ones; when it returns nothing of theirs is in
  /// flight. Where another instance served them, they ended with its process.
  func fence(_ params: FenceVolume.Params) async throws(RPCError) -> VolumeStatus {
    let name = params.volume
    let chain = try await freeingSpace { () throws(RPCError) in
      try await state.write { transaction in
        try transaction.execute(
          "UPDATE volume SET generation = generation + 1, clientUser = NULL, connected = 0 WHERE name = ?",
          [name.rawValue])
        guard let chain = try Catalog.chain(of: name, in: transaction.database) else {
          throw Complaint.noSuchVolume(name)
        }
        return chain
      }
    }
    let ended = table.fence(name, below: chain.volume.generation)
    let status = try await blocking(on: endings) { () throws(RPCError) in
      // Connections first: a client that is cut off gets no errors that its guest would see.
      if let server = self.server.withLock({ $0 }) {
        for export in Set(ended.map(\.exportName)) { server.closeSessions(of: export) }
      }
      for session in ended {
        session.gate.close()
        self.table.remove(session)
      }
      return self.status(of: chain)
    }
    publish(
      .info, .volumeFenced, name.rawValue,
      "Volume \(name) was fenced: \(ended.count) sessions ended, older exports are refused.",
      ["generation": .integer(chain.volume.generation), "sessions": .integer(Int64(ended.count))])
    return status
  }
}

/// Sessions of NBD clients.
extension StorageService {
  /// Admits a client to a volume, if the export is the current one and the client the user it was made for. Blocks.
  func openSession(_ exportName: String, userID: UInt32) throws(RPCError) -> SessionDevice {
    guard let export = ExportName(exportName) else {
      throw RPCError(
        StorageFailure.noSuchVolume, "\(exportName) is no export; volume.export tells the name of a volume's.",
        data: ["exportName": .string(exportName)])
    }
    return try waitBlocking { () throws(RPCError) in try await self.admit(export, userID) }
  }

  private func admit(_ export: ExportName, _ userID: UInt32) async throws(RPCError) -> SessionDevice {
    let name = export.volume
    return try await locks.with(name.rawValue, for: "a client's connection") { () throws(RPCError) in
      let chain = try await chain(of: name)
      guard !isStopping.load(ordering: .acquiring) else {
        throw RPCError(CommonFailure.stopping, "The storage service hands over to its other instance; connect again.")
      }
      guard chain.volume.generation == export.generation else {
        throw Complaint.staleGeneration(name, asked: export.generation, current: chain.volume.generation)
      }
      guard chain.volume.clientUser == userID else {
        throw RPCError(
          CommonFailure.forbidden,
          "Volume \(name) is not exported to user \(userID); volume.export says to whom it is.",
          data: ["volume": .string(name.rawValue), "userID": .integer(Int64(userID))])
      }
      let stack = try await openLayers(of: chain, writing: true, connecting: true)
      let policy = table.policy(of: name, known: chain.volume.policy)
      let session = Session(volume: name, generation: export.generation, policy, on: stack.top) { error in
        self.tell(of: error, on: name)
      } ended: { session in
        self.ended(session)
      }
      guard table.add(session) else {
        try await closeUnusedLayers(of: name)
        throw Complaint.staleGeneration(name, asked: export.generation, current: export.generation + 1)
      }
      return SessionDevice(session, sizeBytes: chain.volume.sizeBytes, in: self)
    }
  }

  /// The names that a user may connect to.
  func exportNames(for userID: UInt32) throws(RPCError) -> [String] {
    try waitBlocking { () throws(RPCError) in
      try await self.state.read { database in
        try Catalog.volumes(in: database).filter { $0.clientUser == userID }.map(\.exportName)
      }
    }
  }

  /// A client is gone: what it wrote is flushed and the layers are closed, unless others use them.
  private func ended(_ session: Session) {
    held.forget(session)
    table.remove(session)
    guard table.sessionCount(of: session.volume) == 0 else { return }
    Task { await self.closeLayers(of: session.volume) }
  }

  private func closeLayers(of name: VolumeName) async {
    do throws(RPCError) {
      try await locks.acquire(name.rawValue, for: "closing layers", patience: nil)
    } catch { return }
    do throws(RPCError) {
      try await closeUnusedLayers(of: name)
      if table.sessionCount(of: name) == 0 { try await beginLeftMerge(of: name) }
    } catch {
      environment.logger.error("layers were not closed", metadata: ["volume": "\(name)", "error": "\(error)"])
    }
    locks.release(name.rawValue)
  }

  /// Tells operators what a client was told, at most once a minute for each volume.
  private func tell(of error: BlockError, on volume: VolumeName) {
    let kind: StorageAlert
    let message: String
    switch error.kind {
    case .noSpace:
      kind = .outOfSpace
      message = """
        Volume \(volume) has no space to grow: its guest gets errors for what it writes. Delete volumes, images or undo \
        layers that nobody needs, or enlarge the legs' file systems; the volume goes on by itself then.
        """
    case .damaged:
      kind = .damagedLayer
      message = "A layer of volume \(volume) is damaged: \(error). Shut down its virtual machine and restore it."
    default:
      return
    }
    let now = ContinuousClock.now
    let isNew = toldFailures.withLock { told in
      if let last = told[volume], now - last < StorageLimits.alertInterval { return false }
      told[volume] = now
      return true
    }
    if isNew { publish(.error, kind, volume.rawValue, message, ["error": .string("\(error)")]) }
  }

  /// Ends the NBD connections and the use of every volume, so that the next instance finds the legs equal. Clients come
  /// back to that one.
  public func drain() async {
    isStopping.store(true, ordering: .releasing)
    jobs.stop()
    await endings.run {
      self.server.withLock { $0 }?.stop()
      for session in self.table.allSessions() {
        session.gate.close()
        self.table.remove(session)
      }
    }
    // Also those that somebody else is just closing: that must have ended before the state is closed.
    for volume in table.usedVolumes() { await closeLayers(of: volume) }
  }
}
