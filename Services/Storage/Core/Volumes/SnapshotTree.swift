import Primitives
import StorageAPI

/// The layers of a volume as a tree: which are kept by snapshots, and which could be merged.
struct SnapshotTree {
  private let chain: Chain
  private let layers: [String: LayerRecord]
  private let children: [String: [LayerRecord]]
  private let snapshots: [String: SnapshotName]

  init(_ chain: Chain) {
    self.chain = chain
    let all = chain.layers + chain.branches
    layers = Dictionary(all.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    children = Dictionary(grouping: all.filter { $0.parent != nil }, by: { $0.parent ?? "" })
    snapshots = Dictionary(chain.snapshots.map { ($0.layer, $0.name) }, uniquingKeysWith: { first, _ in first })
  }

  func children(of layer: LayerRecord) -> [LayerRecord] { children[layer.id] ?? [] }

  /// The nearest snapshot at a layer or below it.
  func snapshot(atOrBelow layer: LayerRecord?) -> SnapshotName? {
    var next = layer
    // No chain has more layers than that; one that goes in a circle is not followed for ever.
    for _ in 0..<StorageLimits.chainLayers {
      guard let layer = next else { return nil }
      if let name = snapshots[layer.id] { return name }
      next = layer.parent.flatMap { layers[$0] }
    }
    return nil
  }

  /// The nearest snapshot below another one.
  func parent(of snapshot: SnapshotRecord) -> SnapshotName? {
    self.snapshot(atOrBelow: layers[snapshot.layer]?.parent.flatMap { layers[$0] })
  }

  /// The layers from one on down.
  func chain(from layer: String) -> [LayerRecord] {
    var found: [LayerRecord] = []
    var next = layers[layer]
    while let layer = next, found.count < StorageLimits.chainLayers {
      found.append(layer)
      next = layer.parent.flatMap { layers[$0] }
    }
    return found
  }

  /// The layers from the top down that hold what was written since the last snapshot: nobody but the present content
  /// needs them.
  var sinceLastSnapshot: [LayerRecord] {
    Array(
      chain.layers.prefix { layer in
        layer.image == nil && snapshots[layer.id] == nil
          && (layer.id == chain.volume.top || children(of: layer).count == 1)
      })
  }

  /// The layers that nobody needs once a snapshot is forgotten that no other one and not the present content is based on.
  func unneeded(without snapshot: SnapshotRecord) -> [LayerRecord] {
    var found: [LayerRecord] = []
    for layer in chain(from: snapshot.layer) {
      let others = children(of: layer).filter { child in !found.contains { $0.id == child.id } }
      let isKept = snapshots[layer.id].map { $0 != snapshot.name } ?? false
      guard layer.image == nil, others.isEmpty, !isKept, layer.id != chain.volume.top else { break }
      found.append(layer)
    }
    return found
  }

  /// A layer that nobody needs for itself, and the only one that was made on it.
  struct Pair: Equatable {
    var upper: LayerRecord
    var lower: LayerRecord
  }

  /// What could be merged next, the lowest first: the topmost layer may be in use. Undo layers are not merged: they may be
  /// discarded.
  var mergeable: Pair? {
    for lower in chain.branches + chain.layers.reversed() where lower.image == nil && snapshots[lower.id] == nil {
      let above = children(of: lower)
      if above.count == 1, above[0].role != .undo { return Pair(upper: above[0], lower: lower) }
    }
    return nil
  }
}
