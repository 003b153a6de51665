import BlockLayers
import Primitives
import RPC
import StorageAPI
import VHD

/// What jobs do to the files of layers. All functions block.
extension LayerStore {
  /// Told how many bytes were gone through, of how many; false ends the work.
  typealias Progress = (_ done: Int64, _ total: Int64) -> Bool

  /// Copies what the first of these layers holds into the second one. Neither may be written by others meanwhile; who
  /// reads through the first one sees no change. False when it was ended.
  func fold(_ layers: [LayerRecord], progress: Progress) throws(RPCError) -> Bool {
    if layers.count > 1 { try growAsNeeded(layers[1], for: layers[0]) }
    let opened = try open(layers, writable: 1..<2)
    defer { for layer in opened { layer.close() } }
    guard opened.count > 1 else { throw Complaint.internalError("a layer without a parent cannot be merged") }
    do throws(BlockError) {
      return try Self.fold(opened[0].device, into: opened[1].device, progress: progress) != nil
    } catch {
      throw StorageService.complaint(about: error, while: "merging layer \(layers[0].path)")
    }
  }

  /// A layer that is being filled with the content of others.
  struct Filling {
    /// The layer, from the one that is filled down.
    var target: [LayerRecord]
    /// Where the content is read, the topmost layer first.
    var source: [LayerRecord]
    var sizeBytes: Int64
    /// Up to where it is durable in the target already, in bytes.
    var doneBytes: Int64
  }

  /// Fills a layer from where it is filled already. False when it was ended.
  ///
  /// - Parameter durable: told up to where all is durable; false ends the work.
  func fill(_ filling: Filling, progress: Progress, durable: (Int64) -> Bool) throws(RPCError) -> Bool {
    guard let target = filling.target.first else { throw Complaint.internalError("there is nothing to fill") }
    let source = try open(filling.source, writable: 0..<0)
    defer { for layer in source { layer.close() } }
    let opened = try open(filling.target, writable: 0..<1)
    defer { for layer in opened { layer.close() } }
    guard let from = source.first?.device, let to = opened.first?.device else {
      throw Complaint.internalError("layer \(target.id) has nothing to be filled from")
    }
    do throws(BlockError) {
      return try Self.copy(
        from: from, to: to, filling.doneBytes..<filling.sizeBytes, progress: progress, durable: durable)
    } catch {
      throw StorageService.complaint(about: error, while: "filling layer \(target.path)")
    }
  }

  private static func copy(
    from source: VHDLayer, to target: VHDLayer, _ range: Range<Int64>, progress: Progress, durable: (Int64) -> Bool
  ) throws(BlockError) -> Bool {
    var at = range.lowerBound
    while at < range.upperBound {
      let count = min(StorageLimits.jobPieceBytes, range.upperBound - at)
      let base = at
      let isWhole = try BlockCopy.copyDifferences(from: source, to: target, at: at, count: count) { done, _ in
        progress(base + done, range.upperBound)
      }
      guard isWhole else { return false }
      at += count
      try target.flush()
      guard durable(at) else { return false }
    }
    return true
  }
}
