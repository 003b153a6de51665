import ControlState
import Primitives
import RPC
import StorageAPI

/// Creating, showing and deleting volumes.
extension StorageService {
  func list() async throws(RPCError) -> ListVolumes.Result {
    let chains = try await state.read { database in
      try Catalog.volumes(in: database).map { try Catalog.chain(of: $0, in: database) }
    }
    return try await blocking { .init(volumes: chains.map(self.status)) }
  }

  func show(_ volume: VolumeName) async throws(RPCError) -> VolumeStatus {
    let chain = try await chain(of: volume)
    return try await blocking { self.status(of: chain) }
  }

  // MARK: Create

  func create(_ params: CreateVolume.Params) async throws(RPCError) -> VolumeStatus {
    let name = params.volume
    let status = try await locks.with(name.rawValue, for: CreateVolume.name) { () throws(RPCError) in
      if let answer = try await state.answer(for: CreateVolume.self, params) { return answer }
      try step("create.plan")
      let now = environment.now()
      let chain = try await state.write { transaction in
        let chain = try Self.plan(params, now: now, in: &transaction)
        for layer in chain.ownLayers { try transaction.addLooseFile(layer.path) }
        return chain
      }
      return try await removingLooseFiles(of: chain.ownLayers) { () throws(RPCError) in
        try step("create.files")
        try await make(chain.ownLayers.count, topmostOf: chain)
        try step("create.commit")
        // One of that name may have been there before.
        table.setPolicy(chain.volume.policy, of: name)
        return try await state.perform(CreateVolume.self, params) { transaction in
          if let image = params.image { try Self.requireImage(image, top: chain.layers, in: transaction) }
          try transaction.insert(chain.volume)
          for layer in chain.ownLayers {
            try transaction.removeLooseFile(layer.path)
            try transaction.insert(layer)
          }
          return self.status(of: chain)
        }
      }
    }
    publish(
      .info, .volumeCreated, name.rawValue, "Volume \(name) was created.",
      [
        "sizeBytes": .integer(status.sizeBytes), "image": status.image.map { .string($0.rawValue) } ?? .null,
        "undo": .bool(status.hasUndoLayer),
      ])
    return status
  }

  private static func plan(
    _ params: CreateVolume.Params, now: Int64, in transaction: inout Transaction
  ) throws -> Chain {
    let database = transaction.database
    guard try Catalog.volume(params.volume, in: database) == nil else { throw Complaint.volumeExists(params.volume) }
    guard try Catalog.volumes(in: database).count < StorageLimits.volumes else {
      throw RPCError(
        CommonFailure.limitExceeded, "There are \(StorageLimits.volumes) volumes already; delete some first.")
    }
    var layers: [LayerRecord] = []
    var size = params.sizeBytes
    if let name = params.image {
      guard let image = try Catalog.image(name, in: database) else { throw Complaint.noSuchImage(name) }
      if let size, size != image.sizeBytes {
        throw Complaint.size(
          size, "A volume on image \(name) has the image's size, \(image.sizeBytes) bytes; leave sizeBytes out.")
      }
      size = image.sizeBytes
      layers = try Catalog.chain(from: image.top, in: database)
    }
    let checked = try Self.checkedSize(size)
    layers.insert(
      LayerRecord(
        id: LayerID.random(), role: layers.isEmpty ? .base : .differencing, parent: layers.first?.id,
        owner: .volume(params.volume)), at: 0)
    if params.undo == true {
      layers.insert(
        LayerRecord(id: LayerID.random(), role: .undo, parent: layers[0].id, owner: .volume(params.volume)), at: 0)
    }
    let record = VolumeRecord(
      name: params.volume, sizeBytes: checked, top: layers[0].id,
      generation: try Catalog.firstGeneration(in: database), clientUser: nil, connected: false, openForWriting: false,
      legsDiffer: false, createdMilliseconds: now,
      policy: WritePolicy(cache: params.cache ?? .writeBack, onOneLeg: params.onOneLeg ?? .continue))
    return Chain(volume: record, layers: layers)
  }

  static func checkedSize(_ size: Int64?) throws(RPCError) -> Int64 {
    guard let size else {
      throw Complaint.size(nil, "A volume without an image needs sizeBytes: say how large it is to be.")
    }
    guard size > 0 else { throw Complaint.size(size, "A volume has at least 512 bytes; \(size) is not a size.") }
    guard size <= StorageLimits.volumeBytes else {
      throw Complaint.size(
        size, "A volume has at most 2040 GiB (\(StorageLimits.volumeBytes) bytes), the limit of its format (VHD).")
    }
    guard size % StorageLimits.sectorBytes == 0 else {
      let next = size / StorageLimits.sectorBytes * StorageLimits.sectorBytes
      throw Complaint.size(
        size, "A volume's size is a multiple of 512 bytes; \(size) is not, take \(next + StorageLimits.sectorBytes).")
    }
    return size
  }

  /// The image that a plan was made on must still be there when the plan becomes true.
  private static func requireImage(_ name: ImageName, top: [LayerRecord], in transaction: Transaction) throws {
    let expected = top.first { $0.image == name }?.id
    guard let image = try Catalog.image(name, in: transaction.database), image.top == expected else {
      throw Complaint.noSuchImage(name)
    }
  }

  // MARK: Delete

  func delete(_ params: DeleteVolume.Params) async throws(RPCError) -> DeleteVolume.Result {
    let name = params.volume
    // Only where nothing else forbids it.
    let current = try await state.read { database in try Catalog.volume(name, in: database) }
    if table.sessionCount(of: name) == 0, current?.connected == false { try await endJob(on: name) }
    let removed = try await locks.with(name.rawValue, for: DeleteVolume.name) { () throws(RPCError) -> [LayerRecord]? in
      let found = try await state.read { database in try Catalog.chain(of: name, in: database) }
      guard let found else { return nil }
      try await requireDisconnected(found.volume)
      try await requireNoJob(on: name)
      try step("delete.commit")
      try await freeingSpace { () throws(RPCError) in
        try await state.write { transaction in try transaction.removeVolume(found) }
      }
      try await endScrubs(of: .volume(name))
      try step("delete.files")
      await removeLooseFiles(found.ownLayers.map(\.path))
      return found.ownLayers
    }
    guard removed != nil else { return .init(deleted: false) }
    publish(.info, .volumeDeleted, name.rawValue, "Volume \(name) was deleted.")
    return .init(deleted: true)
  }

  // MARK: Parts that operations share

  /// Runs what frees space. Where the legs are so full that not even the state can change, the space that was kept for
  /// this is given up, and `body` tried again.
  func freeingSpace<T>(_ body: () async throws(RPCError) -> T) async throws(RPCError) -> T {
    do throws(RPCError) {
      return try await body()
    } catch {
      let released = await operations.run { self.legs.inStep.filter { self.files.releaseReserve(on: $0) } }
      guard !released.isEmpty else { throw error }
    }
    return try await body()
  }

  /// Throws `volumeInUse` when a client is connected, or will come back; closes layers that nobody uses any longer.
  ///
  /// A client that is just leaving is waited for.
  func requireDisconnected(_ volume: VolumeRecord) async throws(RPCError) {
    let deadline = ContinuousClock.now + StorageLimits.leaving
    while table.sessionCount(of: volume.name) > 0, ContinuousClock.now < deadline {
      try? await Task.sleep(for: .milliseconds(10))
    }
    let sessions = table.sessionCount(of: volume.name)
    guard sessions == 0 else {
      throw Complaint.connected(volume.name, sessions: sessions, generation: volume.generation)
    }
    try await closeUnusedLayers(of: volume.name)
    let current = try await state.read { database in try Catalog.volume(volume.name, in: database) }
    guard let current, current.connected else { return }
    throw Complaint.awaited(volume.name, generation: current.generation)
  }

  /// Makes the files of the topmost layers of a chain, the lowest first.
  func make(_ count: Int, topmostOf chain: Chain) async throws(RPCError) {
    try await blocking { () throws(RPCError) in
      for index in (0..<count).reversed() {
        let parents = Array(chain.layers[(index + 1)...])
        try self.store.make(chain.layers[index], sizeBytes: chain.volume.sizeBytes, over: parents)
      }
    }
  }

  /// Runs `body`; when it fails, the files that were to become these layers are removed.
  func removingLooseFiles<T>(
    of layers: [LayerRecord], _ body: () async throws(RPCError) -> T
  ) async throws(RPCError) -> T {
    do throws(RPCError) {
      return try await body()
    } catch {
      if (try? step("cleanUp")) != nil { await removeLooseFiles(layers.map(\.path)) }
      throw error
    }
  }

  /// Removes files that are not part of the state, and their record. What cannot be removed now is left to the next
  /// activation.
  func removeLooseFiles(_ paths: [String]) async {
    guard !paths.isEmpty else { return }
    do throws(RPCError) {
      try await blocking { () throws(RPCError) in
        try self.store.onEachLeg("removing files") { leg throws(LegFileError) in
          for path in paths { try self.files.remove(path, on: leg) }
          self.files.keepReserve(on: leg)
        }
      }
      try step("removeLooseFiles.commit")
      try await state.write { transaction in
        for path in paths { try transaction.removeLooseFile(path) }
      }
    } catch {
      environment.logger.warning(
        "files were left for later removal", metadata: ["paths": "\(paths)", "error": "\(error)"])
    }
  }
}
