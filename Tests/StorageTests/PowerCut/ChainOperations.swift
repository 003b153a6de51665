import BlockLayers
import Glibc
import Primitives
import VHD

@testable import StorageCore

/// The operations on a volume, each in the service's order of files and state.
extension ChainHost {
  // MARK: Layers

  /// Puts a new layer on top; the content below is kept as a snapshot where it is to be.
  func putOnTop(_ role: ChainRecord.Role, isSnapshot: Bool = false) throws(BlockError) {
    let below = record.layers.first?.id
    let layer = try makeNext(over: below, sectors: record.sectors)
    try withClientsWaiting { () throws(BlockError) in
      try change {
        $0.loose.removeAll { $0 == layer }
        $0.layers.insert(ChainRecord.Layer(id: layer, role: role), at: 0)
        guard let below, isSnapshot || role == .undo else { return }
        $0.frozen[below] = $0.model.flushed
        if isSnapshot { $0.snapshots.append(below) }
      }
    }
  }

  private func makeNext(over below: Int?, sectors: Int) throws(BlockError) -> Int {
    let layer = record.lastID + 1
    try change {
      $0.lastID = layer
      $0.loose.append(layer)
    }
    try make(layer, over: below, sectors: sectors)
    return layer
  }

  /// Goes back to the newest snapshot: a new layer over it, and what was written since is gone.
  func revert() throws(BlockError) {
    guard let snapshot = record.layers.first(where: { record.snapshots.contains($0.id) })?.id,
      let content = record.frozen[snapshot]
    else { return }
    try closeStack()
    let layer = try makeNext(over: snapshot, sectors: content.count)
    try change {
      let kept = $0.layers.drop { $0.id != snapshot }
      $0.loose = $0.layers.dropLast(kept.count).map(\.id)
      for dropped in $0.loose { $0.frozen[dropped] = nil }
      $0.layers = [ChainRecord.Layer(id: layer, role: .differencing)] + kept
      $0.sectors = content.count
      $0.model = VolumeModel(exactly: content)
    }
    try removeLoose()
  }

  func discardUndo() throws(BlockError) {
    try closeStack()
    try change {
      let undo = $0.layers.removeFirst()
      $0.loose = [undo.id]
      guard let below = $0.layers.first?.id, let content = $0.frozen[below] else { return }
      $0.model = VolumeModel(exactly: content)
      $0.frozen[below] = nil
    }
    try removeLoose()
  }

  func commitUndo() throws(BlockError) {
    try closeStack()
    try change {
      $0.commit = $0.layers.first?.id
      $0.openForWriting = true
      if $0.layers.count > 1 { $0.frozen[$0.layers[1].id] = nil }
    }
    try finishCommit()
  }

  func finishCommit() throws(BlockError) {
    try foldTop()
    try change {
      $0.commit = nil
      let undo = $0.layers.removeFirst()
      $0.loose = [undo.id]
      $0.openForWriting = false
    }
    try removeLoose()
  }

  private func foldTop() throws(BlockError) {
    let opened = try open(record.layers.map(\.id), writable: 0..<2)
    defer { for layer in opened { close(layer.id) } }
    _ = try LayerStore.fold(opened[0].device, into: opened[1].device)
  }

  /// Forgets snapshots, and merges the layers that nobody needs.
  func forget(_ snapshots: Set<Int>) throws(BlockError) {
    try change {
      $0.snapshots.removeAll { snapshots.contains($0) }
      for layer in snapshots { $0.frozen[layer] = nil }
    }
    while let merge = record.mergeable {
      if merge.upper == record.layers.first?.id {
        // What a client writes is never merged.
        if !stack.isEmpty { try putOnTop(.differencing) }
      }
      try change {
        $0.merge = merge
        $0.openForWriting = true
      }
      try finishMerge()
    }
  }

  /// Goes on with a merge, however much of it was done.
  func finishMerge() throws(BlockError) {
    guard let merge = record.merge else { return }
    if !merge.isReplacing {
      try fold(merge)
      try change { $0.merge?.isReplacing = true }
      try giveIdentity(merge)
      return try withClientsWaiting { () throws(BlockError) in try finishReplacing(hasIdentity: true) }
    }
    try finishReplacing(hasIdentity: false)
  }

  private func fold(_ merge: ChainRecord.Merge) throws(BlockError) {
    let sizes = (
      try with(merge.lower) { (file) throws(BlockError) in try VHDStructure(file).size },
      try with(merge.upper) { (file) throws(BlockError) in try VHDStructure(file).size }
    )
    if sizes.0 < sizes.1 { try grow(merge.lower, to: sizes.1) }
    let layers = record.layers.map(\.id).drop { $0 != merge.upper }
    let opened = try open(Array(layers), writable: 1..<2)
    defer { for layer in opened { close(layer.id) } }
    _ = try LayerStore.fold(opened[0].device, into: opened[1].device)
  }

  private func giveIdentity(_ merge: ChainRecord.Merge) throws(BlockError) {
    let (lower, upper) = (ChainRecord.names(of: merge.lower), ChainRecord.names(of: merge.upper))
    let isDone = record.inStep.contains { disks.node(lower[0], on: $0) == nil && disks.node(upper[0], on: $0) != nil }
    if isDone { return }
    try with(merge.upper) { (file) throws(BlockError) in
      let identity = try VHDStructure(file).identity
      try with(merge.lower) { (file) throws(BlockError) in try VHDLayer.takeIdentity(identity, in: file) }
    }
    try onEachLeg { leg throws(BlockError) in
      for name in upper.dropFirst() { try disks.unlink(name, on: leg) }
      try disks.syncNames(on: leg)
    }
  }

  /// The merged layer takes the place of the one above it. Nobody has the volume open.
  private func finishReplacing(hasIdentity: Bool) throws(BlockError) {
    guard let merge = record.merge else { return }
    if !hasIdentity { try giveIdentity(merge) }
    try onEachLeg { leg throws(BlockError) in try rename(merge, on: leg) }
    try change {
      let lower = $0.layers.first { $0.id == merge.lower }
      $0.layers.removeAll { $0.id == merge.lower }
      if let lower, let index = $0.layers.firstIndex(where: { $0.id == merge.upper }) {
        $0.layers[index].role = lower.role
      }
      $0.merge = nil
    }
  }

  private func rename(_ merge: ChainRecord.Merge, on leg: LegID) throws(BlockError) {
    let (lower, upper) = (ChainRecord.names(of: merge.lower), ChainRecord.names(of: merge.upper))
    if disks.node(lower[0], on: leg) != nil {
      let identity = try VHDStructure(try disks.open(lower[0], on: leg)).identity
      guard identity == ChainRecord.identity(of: merge.upper) else {
        throw BlockError(.damaged, "layer \(merge.lower) has not got the identity of \(merge.upper)")
      }
      for name in upper.dropFirst() { try disks.unlink(name, on: leg) }
      for (old, new) in zip(lower, upper) { try disks.rename(old, to: new, on: leg) }
    } else if !record.inStep.contains(leg) {
      for name in upper.dropFirst() + upper.prefix(1) { try disks.unlink(name, on: leg) }
    }
    try disks.syncNames(on: leg)
  }

  // MARK: Size

  func grow(by sectors: Int) throws(BlockError) {
    guard let top = record.layers.first?.id else { return }
    let larger = record.sectors + sectors
    try change { $0.openForWriting = true }
    let isUsed = !stack.isEmpty
    try withClientsWaiting { () throws(BlockError) in
      try grow(top, to: layout.size(larger))
      try change {
        $0.sectors = larger
        $0.model.grow(to: larger)
        $0.openForWriting = isUsed || $0.merge != nil
      }
    }
  }

  private func grow(_ layer: Int, to size: Int64) throws(BlockError) {
    try with(layer) { (file) throws(BlockError) in
      if try VHDStructure(file).usedCopy { _ = try VHDLayer.repair(file, .dropGarbage) }
      if try VHDStructure(file).size <= size { try VHDLayer.grow(file, to: size) }
    }
  }

  // MARK: Legs

  /// Brings the leg that was lost into step.
  func rejoin(during work: () throws(BlockError) -> Void = {}) throws(BlockError) {
    guard let leg = LegID.allCases.first(where: { !record.inStep.contains($0) }) else { return }
    disks.restore(leg)
    beginReceiving(leg)
    for layer in record.layers {
      try copy(layer.id, to: leg)
      try work()
    }
    // What was put on top meanwhile was made on both.
    try completeReceiving(leg)
  }

  /// Makes the legs equal after a crash.
  func compareLegs() throws(BlockError) {
    guard record.legsDiffer, record.inStep.count == 2 else { return }
    for layer in record.layers {
      let isDone = try with(layer.id) { (file) throws(BlockError) in try file.equalize() != nil }
      guard isDone else { return }
    }
    try change { $0.legsDiffer = false }
  }

  func scrub() throws(BlockError) -> ScrubReport {
    var sum = ScrubReport()
    for layer in record.layers {
      if let report = try with(layer.id, { (file) throws(BlockError) in try file.scrub() }) { sum += report }
    }
    return sum
  }

  // MARK: After a crash

  /// What the next instance does before it serves.
  func recover() throws(BlockError) {
    try change {
      $0.legsDiffer = $0.legsDiffer || $0.openForWriting
      $0.openForWriting = $0.merge != nil || $0.commit != nil
    }
    try removeLoose()
    if record.merge?.isReplacing == true { try finishMerge() }
  }

  /// What it does while it serves.
  func finishJobs() throws(BlockError) {
    if record.commit != nil {
      try closeStack()
      if !record.openForWriting { try change { $0.openForWriting = true } }
      try finishCommit()
    }
    try finishMerge()
    if record.merge == nil, stack.isEmpty, record.openForWriting { try change { $0.openForWriting = false } }
  }
}
