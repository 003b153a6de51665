import BlockLayers
import ControlState
import NBD
import Primitives
import RPC
import Synchronization

/// What changed between two checkpoints, as a metadata context in the way of QEMU's dirty bitmaps: flag 1 is dirty
/// (QEMU, docs/interop/nbd.rst). Looked up when it is first asked for.
final class DirtyBitmap: NBDMetadataContext {
  /// Returns what changed, or nil when it cannot be told any more. Blocks.
  typealias Source = @Sendable () throws(RPCError) -> ChangeMap?

  private static let dirty: UInt32 = 1

  let name: String
  private let source: Source
  private let map = Mutex<ChangeMap?>(nil)

  init(checkpoint: CheckpointName, source: @escaping Source) {
    name = "qemu:dirty-bitmap:\(checkpoint)"
    self.source = source
  }

  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [NBDContextExtent] {
    let map = try found()
    guard offset >= 0, count > 0, offset < map.sizeBytes else {
      throw BlockError(.outOfRange, "\(name) of \(count) bytes at \(offset)")
    }
    let end = min(offset + count, map.sizeBytes)
    var extents: [NBDContextExtent] = []
    var at = offset
    while at < end, extents.count < NBDContextExtent.limit {
      let (run, isChanged) = map.run(at: at)
      let part = min(run, end - at)
      extents.append(NBDContextExtent(count: part, flags: isChanged ? Self.dirty : 0))
      at += part
    }
    return extents
  }

  private func found() throws(BlockError) -> ChangeMap {
    let outcome = map.withLock { map -> Result<ChangeMap, BlockError> in
      if let map { return .success(map) }
      do throws(RPCError) {
        guard let found = try source() else {
          return .failure(BlockError(.notFound, "\(name): its checkpoint was deleted; back up everything"))
        }
        map = found
        return .success(found)
      } catch {
        return .failure(BlockError(.io, "\(name): \(error.message)"))
      }
    }
    return try outcome.get()
  }
}

extension StorageService {
  /// What changed before a snapshot since each older checkpoint; none unless it was taken with a checkpoint of its own.
  func dirtyBitmaps(of volume: VolumeName, at snapshot: SnapshotName) async throws(RPCError) -> [DirtyBitmap] {
    let checkpoints = try await state.read { database in try Catalog.checkpoints(of: volume, in: database) }
    guard let newer = checkpoints.last(where: { $0.snapshot == snapshot }) else { return [] }
    return checkpoints.filter { $0.id < newer.id }.map { older in
      DirtyBitmap(checkpoint: older.name) { () throws(RPCError) in
        try waitBlocking { () throws(RPCError) in
          try await self.state.read { database in
            try Catalog.changes(
              of: volume, since: older.id, until: newer.id, sizeBytes: newer.sizeBytes, in: database)
          }
        }
      }
    }
  }
}
