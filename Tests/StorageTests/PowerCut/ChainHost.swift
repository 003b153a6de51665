import BlockLayers
import Primitives
import VHD

@testable import StorageCore

/// A volume on simulated disks, with the files and in the order of steps of the storage service (`DataLegs`, `LegFiles`,
/// `LayerStore`), in one thread.
final class ChainHost: @unchecked Sendable {
  // Used by one thread.
  struct OpenFile {
    var file: MirroredFile
    var users: Int
  }

  struct OpenLayer {
    var id: Int
    var device: VHDLayer
  }

  let disks: SimulatedDisks
  let layout: VolumeLayout
  private let calls: LegCalls
  private(set) var record: ChainRecord
  var openFiles: [Int: OpenFile] = [:]
  /// The layers that a client uses, the topmost first.
  private(set) var stack: [OpenLayer] = []
  private(set) var receiving: LegID?
  private var isReceivingComplete = false
  /// Whether a bit of a leg changed by itself, and was not repaired yet.
  var isSpoiled = false

  init(_ disks: SimulatedDisks, _ layout: VolumeLayout, _ record: ChainRecord, calls: LegCalls) {
    (self.disks, self.layout, self.record, self.calls) = (disks, layout, record, calls)
  }

  // MARK: Record

  /// Changes what is durable beside the files.
  func change(_ body: (inout ChainRecord) -> Void) throws(BlockError) {
    if disks.isOff { throw BlockError(.io, "the power failed") }
    body(&record)
    record.version += 1
    try disks.tick()
  }

  /// What a client does changes nothing durable by itself.
  func note(_ body: (inout VolumeModel) -> Void) { body(&record.model) }

  private func lose(_ leg: LegID) throws(BlockError) {
    guard record.inStep.contains(leg) else { return }
    guard record.inStep.count > 1 else { throw BlockError(.io, "the last leg") }
    try change { $0.inStep.removeAll { $0 == leg } }
    letGo(leg)
  }

  private func letGo(_ leg: LegID) {
    if receiving == leg { receiving = nil }
    for open in openFiles.values { open.file.drop(leg) }
  }

  // MARK: Files

  /// The file of a layer on all legs, which `close` gives back.
  func open(_ layer: Int) throws(BlockError) -> MirroredFile {
    if let open = openFiles[layer] {
      openFiles[layer]?.users += 1
      return open.file
    }
    let file = try mirror(layer, isNew: false)
    openFiles[layer] = OpenFile(file: file, users: 1)
    return file
  }

  func close(_ layer: Int) {
    guard let open = openFiles[layer] else { return }
    if open.users > 1 {
      openFiles[layer]?.users -= 1
    } else {
      openFiles[layer] = nil
      open.file.close()
    }
  }

  func with<T>(_ layer: Int, _ body: (MirroredFile) throws(BlockError) -> T) throws(BlockError) -> T {
    let file = try open(layer)
    defer { close(layer) }
    return try body(file)
  }

  private func mirror(_ layer: Int, isNew: Bool) throws(BlockError) -> MirroredFile {
    var members: [MirroredFile.Leg] = []
    for leg in record.inStep {
      do throws(BlockError) { members.append(try member(layer, leg, isNew: isNew)) } catch {
        guard disks.failed.contains(leg) else { throw error }
        try lose(leg)
      }
    }
    let file = try MirroredFile(name: "layer \(layer)", legs: members, isNew: isNew, calls: calls) {
      [weak self] (leg, error) throws(BlockError) in
      guard let self, self.disks.failed.contains(leg) else { throw error }
      try self.lose(leg)
    }
    if let receiving, !record.inStep.contains(receiving) { try join(receiving, layer, file, isNew: isNew) }
    return file
  }

  private func member(_ layer: Int, _ leg: LegID, isNew: Bool) throws(BlockError) -> MirroredFile.Leg {
    let names = ChainRecord.names(of: layer)
    let file = isNew ? try disks.create(names[0], on: leg) : try disks.open(names[0], on: leg)
    let companions = names.dropFirst().map { name in
      if isNew { try? disks.unlink(name, on: leg) }
      return (try? disks.open(name, on: leg)) ?? (try? disks.create(name, on: leg))
    }
    return MirroredFile.Leg(
      id: leg, file: file, intent: companions[0].map { IntentFile($0) }, sums: companions[1].map { SumFile($0) })
  }

  private func join(
    _ leg: LegID, _ layer: Int, _ file: MirroredFile, isNew: Bool = false
  ) throws(BlockError) {
    let isThere = disks.node(ChainRecord.names(of: layer)[0], on: leg) != nil
    try file.attach(try member(layer, leg, isNew: !isThere), isNew: isNew)
    if isReceivingComplete, !file.setInStep(leg) { throw BlockError(.io, "layer \(layer) differs on \(leg.rawValue)") }
  }

  /// Does something on each leg that is written; one on which it fails is lost.
  func onEachLeg(_ body: (LegID) throws(BlockError) -> Void) throws(BlockError) {
    let written = record.inStep + (receiving.map { record.inStep.contains($0) ? [] : [$0] } ?? [])
    for leg in written {
      do throws(BlockError) { try body(leg) } catch {
        guard disks.failed.contains(leg) else { throw error }
        try lose(leg)
      }
    }
  }

  /// Makes the file of a new layer over another, or empty. Durable with its name when it returns.
  func make(_ layer: Int, over parent: Int?, sectors: Int) throws(BlockError) {
    guard let identity = ChainRecord.identity(of: layer) else { throw BlockError(.misuse, "layer \(layer)") }
    let size = layout.size(sectors)
    let reference = try parent.map { (parent) throws(BlockError) in
      try with(parent) { (file) throws(BlockError) in
        let name = ChainRecord.names(of: parent)[0]
        return VHDParentReference(identity: try VHDStructure(file).identity, name: name, relativePath: name)
      }
    }
    openFiles[layer] = OpenFile(file: try mirror(layer, isNew: true), users: 1)
    try with(layer) { (file) throws(BlockError) in
      defer { close(layer) }
      if let reference {
        try VHDLayer.createDifferencing(
          file, size: size, parent: reference, blockSize: layout.blockBytes, identity: identity)
      } else {
        try VHDLayer.createDynamic(file, size: size, blockSize: layout.blockBytes, identity: identity)
      }
    }
    try syncFile(layer)
  }

  private func syncFile(_ layer: Int) throws(BlockError) {
    try onEachLeg { leg throws(BlockError) in
      try disks.open(ChainRecord.names(of: layer)[0], on: leg).flush()
      try disks.syncNames(on: leg)
    }
  }

  /// Removes the files of layers that are not part of the volume, and forgets them.
  func removeLoose() throws(BlockError) {
    guard !record.loose.isEmpty else { return }
    try onEachLeg { leg throws(BlockError) in
      for layer in record.loose {
        let names = ChainRecord.names(of: layer)
        for name in names.dropFirst() + names.prefix(1) { try disks.unlink(name, on: leg) }
      }
      try disks.syncNames(on: leg)
    }
    try change { $0.loose = [] }
  }

  // MARK: Layers

  /// The layers from the topmost down, open: those at the positions of `writable` to be written.
  func open(_ layers: [Int], writable: Range<Int>) throws(BlockError) -> [OpenLayer] {
    var opened: [OpenLayer] = []
    for (index, layer) in layers.enumerated().reversed() {
      do throws(BlockError) {
        let file = try open(layer)
        do throws(BlockError) {
          let device = try VHDLayer.open(
            file, parent: opened.first.map { VHDParent($0.device) }, readOnly: !writable.contains(index))
          opened.insert(OpenLayer(id: layer, device: device), at: 0)
        } catch {
          close(layer)
          throw error
        }
      } catch {
        for layer in opened { close(layer.id) }
        throw error
      }
    }
    return opened
  }

  /// The device that a client reads and writes, marked durably before it is opened.
  func top() throws(BlockError) -> VHDLayer {
    if let top = stack.first { return top.device }
    if !record.openForWriting { try change { $0.openForWriting = true } }
    stack = try open(record.layers.map(\.id), writable: 0..<1)
    guard let top = stack.first else { throw BlockError(.misuse, "no layer") }
    return top.device
  }

  /// The layer of a snapshot, or below an undo layer, as the open layers show it.
  func device(of layer: Int) throws(BlockError) -> VHDLayer? {
    _ = try top()
    return stack.first { $0.id == layer }?.device
  }

  /// Flushes and closes the layers. Those that are opened again at once stay marked.
  func closeStack(staysMarked: Bool = false) throws(BlockError) {
    guard let top = stack.first else { return }
    try top.device.flush()
    note { $0.flush() }
    for layer in stack { close(layer.id) }
    stack = []
    if !staysMarked { try change { $0.openForWriting = $0.merge != nil } }
  }

  /// Runs `body` with the layers closed, which are then as they were.
  func withClientsWaiting(_ body: () throws(BlockError) -> Void) throws(BlockError) {
    let isUsed = !stack.isEmpty
    try closeStack(staysMarked: true)
    try body()
    if isUsed { _ = try top() }
  }

  // MARK: Receiving

  func beginReceiving(_ leg: LegID) {
    letGo(leg)
    (receiving, isReceivingComplete) = (leg, false)
  }

  /// Copies what a leg misses of a layer.
  func copy(_ layer: Int, to leg: LegID) throws(BlockError) {
    try with(layer) { (file) throws(BlockError) in
      if file.state(of: leg) == .absent { try join(leg, layer, file) }
      guard try file.resync(leg) else { throw BlockError(.io, "layer \(layer) was not copied") }
    }
    try disks.open(ChainRecord.names(of: layer)[0], on: leg).flush()
    try disks.syncNames(on: leg)
  }

  /// The leg holds all: it counts.
  func completeReceiving(_ leg: LegID) throws(BlockError) {
    let known = record.layers.flatMap { ChainRecord.names(of: $0.id) }
    for name in disks.names(on: leg) where !known.contains(name) { try disks.unlink(name, on: leg) }
    try disks.syncNames(on: leg)
    isReceivingComplete = true
    for (_, open) in openFiles.sorted(by: { $0.key < $1.key }) where !open.file.setInStep(leg) {
      throw BlockError(.io, "\(open.file.name) is not in step")
    }
    try change { $0.legsDiffer = false }
    try change { $0.inStep = LegID.allCases }
    receiving = nil
  }
}
