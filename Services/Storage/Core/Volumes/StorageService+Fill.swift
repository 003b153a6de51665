import BlockLayers
import ControlState
import GRDB
import Primitives
import RPC
import StorageAPI

/// Jobs that fill a new layer with a volume's content: on no image, on another one, or as an image of its own.
extension StorageService {
  func flatten(_ params: FlattenVolume.Params) async throws(RPCError) -> JobStatus {
    let name = params.volume
    return try await beginFilling(FlattenVolume.self, params, of: name) { chain, job, database throws in
      try Self.requirePlain(chain)
      guard chain.image != nil else { return nil }
      job.operation = .flatten
      return LayerRecord(id: LayerID.random(), role: .base, parent: nil, owner: .volume(name))
    }
  }

  func rebase(_ params: RebaseVolume.Params) async throws(RPCError) -> JobStatus {
    let name = params.volume
    return try await beginFilling(RebaseVolume.self, params, of: name) { chain, job, database throws in
      try Self.requirePlain(chain)
      guard let image = try Catalog.image(params.image, in: database) else { throw Complaint.noSuchImage(params.image) }
      guard image.sizeBytes <= chain.volume.sizeBytes else {
        throw Complaint.size(
          chain.volume.sizeBytes,
          "Image \(params.image) has \(image.sizeBytes) bytes, more than volume \(name), which has \(chain.volume.sizeBytes)."
        )
      }
      guard chain.image != params.image else { return nil }
      job.operation = .rebase
      job.image = params.image
      return LayerRecord(id: LayerID.random(), role: .differencing, parent: image.top, owner: .volume(name))
    }
  }

  func capture(_ params: CaptureVolume.Params) async throws(RPCError) -> JobStatus {
    let description = try Self.checkedDescription(params.description)
    return try await beginFilling(
      CaptureVolume.self, params, of: params.volume, snapshot: params.snapshot
    ) { chain, job, database throws in
      guard try Catalog.image(params.image, in: database) == nil else { throw Complaint.imageExists(params.image) }
      job.operation = .capture
      job.image = params.image
      job.description = description
      return LayerRecord(id: LayerID.random(), role: .base, parent: nil, owner: .image(params.image))
    }
  }

  private static func requirePlain(_ chain: Chain) throws(RPCError) {
    if chain.hasUndoLayer { throw Complaint.undoFirst(chain.volume.name) }
    if !chain.snapshots.isEmpty { throw Complaint.snapshotsExist(chain.volume.name, chain.snapshots.map(\.name)) }
  }

  /// Plans the layer that is to be filled, for a chain, into a job; nil when there is nothing to do.
  private typealias PlanFilling = @Sendable (Chain, inout JobRecord, Database) throws -> LayerRecord?

  /// Enters a job and the layer that it fills, and has it run. The present content of a volume is read with its lock
  /// held until the job has ended; a snapshot's needs none.
  private func beginFilling<M: RPCMethod>(
    _ method: M.Type, _ params: M.Params, of name: VolumeName, snapshot: SnapshotName? = nil,
    _ plan: @escaping PlanFilling
  ) async throws(RPCError) -> JobStatus where M.Params: KeyedParams, M.Result == JobStatus {
    // A repeat must not wait for the lock that the job itself holds.
    if let answer = try await state.answer(for: method, params) { return answer }
    try await locks.acquire(name.rawValue, for: method.name)
    var isHandedOver = false
    defer { if !isHandedOver { locks.release(name.rawValue) } }
    if let answer = try await state.answer(for: method, params) { return answer }
    let chain = try await chain(of: name)
    let kept = try snapshot.map { wanted throws(RPCError) in try Self.snapshot(wanted, of: chain) }
    if kept == nil { try await requireDisconnected(chain.volume) }
    try await requireNoJob(on: name)
    let unfinished = try await state.read { database in try Catalog.commit(of: name, in: database) }
    guard unfinished == nil else { throw Complaint.commitUnfinished(name) }
    if chain.volume.legsDiffer { _ = try await equalize(chain) }
    var planned = JobRecord(
      id: 0, operation: .flatten, volume: name, source: kept?.layer ?? chain.volume.top,
      totalBytes: kept?.sizeBytes ?? chain.volume.sizeBytes, createdMilliseconds: environment.now())
    let target = try await planFilling(&planned, chain, plan)
    let job = planned
    let status: JobStatus
    if let target {
      status = try await entering(job, filling: target, of: method, params)
    } else {
      status = try await state.perform(method, params) { transaction in
        var nothing = job
        (nothing.state, nothing.totalBytes, nothing.endedMilliseconds) = (.done, 0, job.createdMilliseconds)
        return try transaction.insert(nothing).status
      }
    }
    if status.state == .running {
      try await beginJob(status.job, holding: kept == nil ? name : nil)
      isHandedOver = kept == nil
    }
    return status
  }

  private func planFilling(
    _ job: inout JobRecord, _ chain: Chain, _ plan: @escaping PlanFilling
  ) async throws(RPCError) -> [LayerRecord]? {
    let before = job
    let (planned, layers) = try await state.read { database -> (JobRecord, [LayerRecord]?) in
      var planned = before
      guard let target = try plan(chain, &planned, database) else { return (planned, nil) }
      planned.target = target.id
      return (planned, [target] + (try target.parent.map { try Catalog.chain(from: $0, in: database) } ?? []))
    }
    job = planned
    return layers
  }

  /// Makes the file of the layer that is to be filled, and enters it with its job.
  private func entering<M: RPCMethod>(
    _ job: JobRecord, filling layers: [LayerRecord], of method: M.Type, _ params: M.Params
  ) async throws(RPCError) -> JobStatus where M.Params: KeyedParams, M.Result == JobStatus {
    let target = layers[0]
    let readsTop = job.source == (try await chain(of: job.volume).volume.top)
    try step("fill.plan")
    try await state.write { transaction in try transaction.addLooseFile(target.path) }
    return try await removingLooseFiles(of: [target]) { () throws(RPCError) in
      try step("fill.file")
      try await blocking { () throws(RPCError) in
        try self.store.make(target, sizeBytes: job.totalBytes, over: Array(layers.dropFirst()))
      }
      try step("fill.begin")
      return try await state.perform(method, params) { transaction in
        try Self.requireStill(job, target, in: transaction)
        try transaction.removeLooseFile(target.path)
        try transaction.insert(target)
        // A snapshot's layers are not written, and whether the volume is in use does not matter.
        if readsTop {
          try transaction.execute("UPDATE volume SET openForWriting = 1 WHERE name = ?", [job.volume.rawValue])
        }
        return try transaction.insert(job).status
      }
    }
  }

  /// What a job was planned on must still be there when it is entered.
  private static func requireStill(
    _ job: JobRecord, _ target: LayerRecord, in transaction: Transaction
  ) throws {
    guard let image = job.image else { return }
    if job.operation == .capture {
      try requireNoImage(image, in: transaction)
    } else {
      guard try Catalog.image(image, in: transaction.database)?.top == target.parent else {
        throw Complaint.noSuchImage(image)
      }
    }
  }

  // MARK: Running

  /// Fills the layer from where an earlier instance stopped, then makes the result true.
  func fill(_ job: JobRecord) async throws(RPCError) {
    let (filling, target) = try await filling(job)
    try step("fill.copy")
    let isWhole = try await blocking(on: copies) { () throws(RPCError) in
      try self.store.fill(filling) { done, total in
        self.jobs.goOn(job.id, done: done, of: total)
      } durable: { done in
        self.noteDurable(done, in: job)
      }
    }
    guard isWhole else {
      if jobs.isCancelled(job.id) { await end(job, as: .cancelled, reason: nil) }
      return
    }
    // An image is never written again, so nobody would look for differences later.
    if job.operation == .capture {
      _ = try await blocking(on: resyncs) { () throws(RPCError) in
        do throws(BlockError) { return try self.store.equalize(target) } catch {
          throw Self.complaint(about: error, while: "comparing the legs of image \(job.image?.rawValue ?? "")")
        }
      }
    }
    try step("fill.commit")
    let loose = try await state.write { transaction in
      try Self.finish(job, now: self.environment.now(), in: &transaction)
    }
    try step("fill.files")
    await removeLooseFiles(loose)
    announce(job)
    if job.operation == .capture, let image = job.image { await beginSums(of: image) }
  }

  private func filling(_ job: JobRecord) async throws(RPCError) -> (LayerStore.Filling, LayerRecord) {
    try await state.read { database in
      guard let source = job.source, let id = job.target, let target = try Catalog.layer(id, in: database) else {
        throw Complaint.internalError("job \(job.id) has no layer to fill")
      }
      let below = try target.parent.map { try Catalog.chain(from: $0, in: database) } ?? []
      let filling = LayerStore.Filling(
        target: [target] + below, source: try Catalog.chain(from: source, in: database), sizeBytes: job.totalBytes,
        doneBytes: job.doneBytes)
      return (filling, target)
    }
  }

  /// On the thread that fills. False when it cannot be noted: then the next instance would begin at a wrong place.
  private func noteDurable(_ done: Int64, in job: JobRecord) -> Bool {
    do throws(RPCError) {
      try waitBlocking { () throws(RPCError) in
        try await self.state.write { transaction in
          try transaction.execute("UPDATE job SET doneBytes = ? WHERE id = ?", [done, job.id])
        }
      }
      return true
    } catch {
      environment.logger.warning("a job's progress was not noted", metadata: ["job": "\(job.id)", "error": "\(error)"])
      return !isStopping.load(ordering: .acquiring)
    }
  }

  /// Makes a filled layer what it was filled for. Returns the files that nobody needs any longer.
  private static func finish(_ job: JobRecord, now: Int64, in transaction: inout Transaction) throws -> [String] {
    guard let current = try Catalog.job(job.id, in: transaction.database), current.state == .running,
      let chain = try Catalog.chain(of: job.volume, in: transaction.database), let target = job.target
    else { throw Complaint.noSuchJob(job.id) }
    var ended = current
    ended.state = .done
    ended.doneBytes = ended.totalBytes
    ended.endedMilliseconds = now
    try transaction.update(ended)
    if job.source == chain.volume.top {
      try transaction.execute("UPDATE volume SET openForWriting = 0 WHERE name = ?", [job.volume.rawValue])
    }
    if job.operation == .capture, let name = job.image {
      try transaction.insert(
        ImageRecord(
          name: name, sizeBytes: job.totalBytes, top: target, description: job.description, createdMilliseconds: now))
      return []
    }
    let old = chain.ownLayers.filter { $0.id != target }
    for layer in old { try transaction.removeLayer(layer) }
    try transaction.setTop(target, of: job.volume)
    return old.map(\.path)
  }

  private func announce(_ job: JobRecord) {
    let name = job.volume
    let image = job.image?.rawValue ?? ""
    switch job.operation {
    case .capture:
      publish(
        .info, .imageAdded, image, "A copy of volume \(name) is now the library image \(image).",
        ["volume": .string(name.rawValue), "sizeBytes": .integer(job.totalBytes)])
    case .rebase:
      publish(
        .info, .volumeRebased, name.rawValue, "Volume \(name) is based on image \(image) now; its content is the same.",
        ["image": .string(image)])
    case .flatten:
      publish(.info, .volumeFlattened, name.rawValue, "Volume \(name) holds all its content and needs no image.")
    case .deleteSnapshot, .mergeLayers, .checksum, .verify, .scrubVolume, .scrubImage: break
    }
  }
}
