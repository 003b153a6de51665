import AlertAPI
import BlockLayers
import ControlState
import Logging
import NBD
import Primitives
import RPC
import StorageAPI
import Synchronization

/// The storage service: volumes and images, the layers they consist of on both legs, and who may reach them over NBD.
///
/// What is told to callers is in `ControlState`; what the files hold is `LayerStore`'s. An operation writes its plan
/// (the files it will make, durable in `looseFile`), then makes the files, then changes the state in one transaction.
public final class StorageService: Sendable {
  let state: ControlState
  let environment: StorageEnvironment
  let files: LegFiles
  let legs: DataLegs
  let store: LayerStore
  let locks = VolumeLocks()
  let table: VolumeTable
  let pace: ResyncPace
  let operations = WorkerPool(name: "storage-op", limit: StorageLimits.operationThreads)
  /// What waits for the end of connections: that may itself wait for an operation.
  let endings = WorkerPool(name: "storage-end", limit: StorageLimits.operationThreads)
  let copies = WorkerPool(name: "storage-copy", limit: StorageLimits.copyThreads)
  let resyncs = WorkerPool(name: "storage-resync", limit: StorageLimits.resyncThreads)
  let sums = WorkerPool(name: "storage-sum", limit: 1)
  /// Whether an image is being read for its checksum.
  let isSumming = Atomic(false)
  /// Who reads snapshots and images.
  let readers = ReaderTable()
  /// Whether the service ends: sessions are closed by us then, and their clients will come back to the next instance.
  let isStopping = Atomic(false)
  /// Whether legs are being compared.
  let isComparing = Atomic(false)
  /// Who waits for an answer that is held until both legs are in step.
  let held = HeldSessions()
  /// Operations that last.
  let jobs = JobControl()
  /// What was copied to a leg that was brought into step, until that is told.
  let copiedBytes = Mutex<[LegID: Int64]>([:])
  /// Commits that an earlier instance began; the locks of their volumes are held.
  let unfinished = Mutex<[CommitRecord]>([])
  /// The server whose connections a fence closes.
  let server = Mutex<NBDServer?>(nil)
  /// When a client's failed request was last told of.
  let toldFailures = Mutex<[VolumeName: ContinuousClock.Instant]>([:])

  /// The service over its state, with whatever an earlier instance left half done put right.
  ///
  /// Throws when the state cannot be read or written.
  public static func open(
    state: ControlState, environment: StorageEnvironment
  ) async throws(RPCError) -> StorageService {
    let service = StorageService(state: state, environment: environment)
    try await service.recover()
    return service
  }

  private init(state: ControlState, environment: StorageEnvironment) {
    self.state = state
    self.environment = environment
    files = LegFiles(
      roots: environment.legDirectories, calls: LegCalls(bound: environment.legAnswerBound), paths: environment.paths)
    legs = DataLegs(state: state, environment: environment, files: files)
    let table = VolumeTable()
    self.table = table
    let pace = ResyncPace { table.activity() }
    self.pace = pace
    let logs = MetadataLogs(directory: environment.metadataLogs, logger: environment.logger)
    store = LayerStore(files: files, legs: legs, pace: pace, logs: logs, logger: environment.logger)
  }

  /// Where tests stop an operation, as a kill between two steps would.
  func step(_ name: String) throws(RPCError) {
    do { try environment.beforeStep(name) } catch { throw Complaint.internalError("stopped before \(name)") }
  }

  /// Runs what blocks on the threads for operations, or on others.
  func blocking<T: Sendable>(
    on pool: WorkerPool? = nil, _ body: @escaping @Sendable () throws(RPCError) -> T
  ) async throws(RPCError) -> T {
    let result: Result<T, RPCError> = await (pool ?? operations).run {
      do throws(RPCError) { return .success(try body()) } catch { return .failure(error) }
    }
    return try result.get()
  }

  func publish(
    _ severity: Severity, _ kind: StorageAlert, _ subject: String, _ message: String, _ data: [String: JSONValue] = [:]
  ) {
    environment.publish(severity, kind.rawValue, subject, message, data)
  }

  /// A volume as callers see it. Looks at the files, so it belongs on a thread that may block.
  func status(of chain: Chain) -> VolumeStatus {
    let inStep = legs.inStep
    let primary = inStep.first
    let layers = chain.layers.map { layer in
      LayerStatus(
        layer: layer.id, role: layer.role, image: layer.image,
        allocatedBytes: primary.map { files.allocatedBytes(layer.path, on: $0) } ?? 0)
    }
    return VolumeStatus(
      volume: chain.volume.name, sizeBytes: chain.volume.sizeBytes, image: chain.image, layers: layers,
      snapshots: snapshots(of: chain, on: primary), checkpoints: chain.checkpoints.map(\.status),
      hasUndoLayer: chain.hasUndoLayer,
      generation: chain.volume.generation, openings: chain.volume.openings,
      sessions: table.sessionCount(of: chain.volume.name),
      legs: chain.volume.legsDiffer ? Array(inStep.prefix(1)) : inStep, cache: chain.volume.policy.cache,
      onOneLeg: chain.volume.policy.onOneLeg, waitingSessions: held.count(of: chain.volume.name),
      lastScrub: chain.lastScrub?.status)
  }

  private func snapshots(of chain: Chain, on leg: LegID?) -> [SnapshotStatus] {
    guard !chain.snapshots.isEmpty else { return [] }
    let tree = SnapshotTree(chain)
    let current = tree.snapshot(atOrBelow: chain.layers.first)
    let layers = chain.layers + chain.branches
    return chain.snapshots.map { snapshot in
      let path = layers.first { $0.id == snapshot.layer }?.path
      return SnapshotStatus(
        snapshot: snapshot.name, parent: tree.parent(of: snapshot), layer: snapshot.layer,
        sizeBytes: snapshot.sizeBytes,
        allocatedBytes: leg.flatMap { leg in path.map { files.allocatedBytes($0, on: leg) } } ?? 0,
        isCurrent: snapshot.name == current, description: snapshot.description,
        createdMilliseconds: snapshot.createdMilliseconds)
    }
  }

  /// The volume with its layers; throws `noSuchVolume`.
  func chain(of volume: VolumeName) async throws(RPCError) -> Chain {
    let found = try await state.read { database in try Catalog.chain(of: volume, in: database) }
    guard let found else { throw Complaint.noSuchVolume(volume) }
    return found
  }
}
