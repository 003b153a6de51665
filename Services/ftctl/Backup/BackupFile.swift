import BlockLayers
import FTVSClient
import Glibc
import NBD
import Primitives
import RPC
import VHD

/// Where a backup is read: a snapshot over NBD, connected to again after a failover.
final class SnapshotSource: Sendable {
  let export: CallerExport
  /// The metadata context that tells what changed; nil when everything is read.
  let bitmap: String?
  private let socketPath: String

  /// How long a service that takes over is waited for.
  private static let patience: Duration = .seconds(20)
  private static let pauseMicroseconds: UInt32 = 100_000

  init(export: CallerExport, socketPath: String, bitmap: String?) {
    self.export = export
    self.bitmap = bitmap
    self.socketPath = socketPath
  }

  /// A connection. One that is refused is tried again for a while: a service that takes over needs a moment, and while layers
  /// are merged nobody may read them.
  ///
  /// - Throws: where the server cannot tell what changed, too.
  func connect() throws -> NBDClient {
    let contexts = bitmap.map { [$0] } ?? []
    let deadline = ContinuousClock.now + Self.patience
    while true {
      let failure: any Error
      do {
        let client = try NBDClient(socketPath: socketPath, export: export.exportName, contexts: contexts)
        guard client.size == export.sizeBytes else {
          throw Complaint("The snapshot has \(client.size) bytes instead of \(export.sizeBytes); repeat the command.")
        }
        if contexts.allSatisfy(client.has) { return client }
        failure = Complaint("The storage service cannot tell what changed; --full copies everything.")
      } catch let error as BlockError {
        failure = error
      }
      guard ContinuousClock.now < deadline else { throw failure }
      usleep(Self.pauseMicroseconds)
    }
  }
}

/// The file of a backup. All of it blocks.
enum BackupFile {
  /// Writes a new file durably: what the source holds, or what changed in it over the files of `chain`. Returns how many bytes
  /// were read.
  static func write(
    _ path: String, from source: SnapshotSource, over chain: [Backup], in folder: BackupFolder,
    until interruption: Interruption, progress: (_ done: Int64, _ total: Int64) -> Void
  ) throws -> Int64 {
    unlink(path)
    do {
      let parents = try open(chain, in: folder)
      defer { for parent in parents { parent.close() } }
      let file = try PosixFile(path: path, mode: .create)
      defer { file.close() }
      if let last = chain.last, let parent = parents.last {
        let name = "\(last.name).vhd"
        try VHDLayer.createDifferencing(
          file, size: source.export.sizeBytes,
          parent: VHDParentReference(identity: parent.identity, name: name, relativePath: name))
      } else {
        try VHDLayer.createDynamic(file, size: source.export.sizeBytes)
      }
      let layer = try VHDLayer.open(file, parent: parents.last.map { VHDParent($0) })
      let copied = try copy(source, to: layer, until: interruption, progress: progress)
      try layer.flush()
      return copied
    } catch let error as BlockError where error.kind == .noSpace {
      throw Complaint("There is no space left for \(path).", .system)
    }
  }

  /// The files of backups, each on the one before. The first is a full one, and so is one that was completed while its
  /// description still names what it was based on.
  static func open(_ chain: [Backup], in folder: BackupFolder) throws -> [VHDLayer] {
    var opened: [VHDLayer] = []
    do {
      for backup in chain {
        let file = try PosixFile(path: folder.file(backup.name, "vhd"), mode: .read)
        let isDifferencing = try VHDStructure(file).kind == .differencing
        let parent = isDifferencing ? opened.last.map { VHDParent($0) } : nil
        opened.append(try VHDLayer.open(file, parent: parent, readOnly: true))
      }
      return opened
    } catch {
      for layer in opened { layer.close() }
      throw error
    }
  }

  /// Most connections in turn that bring nothing.
  private static let attempts = 5

  private static func copy(
    _ source: SnapshotSource, to layer: VHDLayer, until interruption: Interruption,
    progress: (_ done: Int64, _ total: Int64) -> Void
  ) throws -> Int64 {
    var client = try source.connect()
    var (at, copied): (Int64, Int64) = (0, 0)
    var attempts = 0
    while at < client.size {
      try interruption.check()
      do throws(BlockError) {
        let (count, isWanted) = try next(client, source.bitmap, at: at)
        if isWanted {
          _ = try BlockCopy.copy(from: client, to: layer, at: at, count: count)
          copied += count
        }
        (at, attempts) = (at + count, 0)
        progress(at, client.size)
      } catch {
        attempts += 1
        // What was being written is written again: the same bytes.
        guard client.hasEnded, attempts <= Self.attempts else { throw error }
        client = try source.connect()
      }
    }
    client.close()
    return copied
  }

  /// How many bytes from an offset are alike, and whether they have to be copied.
  private static func next(
    _ client: NBDClient, _ bitmap: String?, at offset: Int64
  ) throws(BlockError) -> (count: Int64, isWanted: Bool) {
    let rest = min(client.size - offset, 64 << 20)
    if let bitmap {
      guard let extent = try client.extents(of: bitmap, at: offset, count: rest).first else { return (rest, true) }
      return (extent.count, extent.flags != 0)
    }
    guard let extent = try client.extents(at: offset, count: rest).first else { return (rest, true) }
    return (extent.count, !extent.readsAsZero)
  }
}

/// Runs what blocks on a thread of its own.
enum Blocking {
  static func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      let isStarted = IOThread.start(name: "ftctl-copy") { continuation.resume(with: Result(catching: body)) }
      if !isStarted { continuation.resume(throwing: Complaint("No thread is left.", .system)) }
    }
  }
}
