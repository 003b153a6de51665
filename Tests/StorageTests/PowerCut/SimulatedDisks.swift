import BlockLayers
import Primitives

/// The disks of both legs of a machine, in memory, which can tell what they may hold when the power fails now.
///
/// One counter of operations runs over all files of both legs: a cut is one moment for all of them. What was synced is
/// carried into the durable image of its file at once, so that nothing is ever replayed from the beginning.
///
/// Permitted faults, when the power fails: of what was not synced each sector of 512 bytes holds any one of the contents
/// that it had since; the length is any one that the file had, or on the way of one that grew; changes of names that were not
/// synced happened up to any one of them, and sometimes in any combination, each as a whole. Before that a leg may fail: then
/// every call on it does, until it is back with what it may hold.
final class SimulatedDisks: @unchecked Sendable {
  // Used by one thread.

  /// A sector as an operation left it.
  struct Change {
    var moment: Int
    var sector: Int
    var hash: UInt64
    /// Where its content is among what was kept; nil for zeros.
    var data: Int?
  }

  /// The length as an operation left it.
  struct Resizing {
    var moment: Int
    var size: Int
  }

  /// A file, with or without a name.
  final class Node {
    let number: Int
    let leg: LegID
    /// What who reads it sees.
    let current: DiskImage
    /// What was synced last; nil where no power cut follows.
    let durable: DiskImage?
    var changes: [Change] = []
    var resizings: [Resizing] = []
    var kept: [UInt8] = []

    init(_ number: Int, _ leg: LegID, _ current: DiskImage, _ durable: DiskImage?) {
      (self.number, self.leg, self.current, self.durable) = (number, leg, current, durable)
    }
  }

  /// A change of a leg's directory.
  enum Naming {
    case link(String, Node)
    case unlink(String)
    case rename(String, String)
  }

  /// The directory of a leg.
  struct Directory {
    var names: [String: Node] = [:]
    var durable: [String: Node] = [:]
    var changes: [(moment: Int, naming: Naming)] = []

    mutating func sync() {
      durable = names
      changes = []
    }
  }

  let pool: ImagePool
  /// Whether the power may fail, so that what is not synced is remembered.
  let isRecording: Bool
  private(set) var moment = 0
  private(set) var isOff = false
  private(set) var failed: Set<LegID> = []
  var directories: [LegID: Directory] = [.io0: Directory(), .io1: Directory()]
  private var nodes = 0
  /// Called after each operation, and before each sync; false turns the power off.
  var onMoment: (() -> Bool)?

  init(pool: ImagePool, isRecording: Bool) {
    self.pool = pool
    self.isRecording = isRecording
  }

  deinit { for leg in LegID.allCases { giveBack(leg) } }

  // MARK: Power and failures

  /// Throws when a call on a leg cannot be made.
  func begin(_ leg: LegID) throws(BlockError) {
    if isOff || failed.contains(leg) { throw BlockError(.io, "leg \(leg.rawValue) has no power") }
  }

  /// One more operation was made, or a change of what else is durable.
  func tick() throws(BlockError) {
    moment += 1
    if let onMoment, !isOff, !onMoment() { isOff = true }
    if isOff { throw BlockError(.io, "the power failed") }
  }

  /// Has every call on a leg fail, which then holds what the choice says.
  func fail(_ leg: LegID, _ choice: inout CutChoice) {
    failed.insert(leg)
    directories[leg] = directory(of: leg, for: self, &choice)
  }

  func restore(_ leg: LegID) { failed.remove(leg) }

  /// What a disk does after a while: everything is synced.
  func writeBack() {
    for leg in LegID.allCases {
      for node in nodes(on: leg) { carryForward(node) }
      directories[leg]?.sync()
    }
  }

  /// Changes one bit of a file that is synced.
  func flip(_ name: String, on leg: LegID, at offset: Int) {
    guard let node = node(name, on: leg) else { return }
    node.current.flip(at: offset)
    node.durable?.flip(at: offset)
  }

  // MARK: Names

  func node(_ name: String, on leg: LegID) -> Node? { directories[leg]?.names[name] }

  func names(on leg: LegID) -> [String] { (directories[leg]?.names.keys).map { $0.sorted() } ?? [] }

  func open(_ name: String, on leg: LegID) throws(BlockError) -> SimulatedFile {
    try begin(leg)
    guard let node = node(name, on: leg) else { throw BlockError(.notFound, errno: 2, name) }
    return SimulatedFile(self, node, name)
  }

  func create(_ name: String, on leg: LegID) throws(BlockError) -> SimulatedFile {
    try begin(leg)
    guard node(name, on: leg) == nil else { throw BlockError(.io, errno: 17, name) }
    let node = makeNode(leg)
    try change(leg, .link(name, node))
    return SimulatedFile(self, node, name)
  }

  func unlink(_ name: String, on leg: LegID) throws(BlockError) {
    try begin(leg)
    if node(name, on: leg) != nil { try change(leg, .unlink(name)) }
  }

  func rename(_ name: String, to new: String, on leg: LegID) throws(BlockError) {
    try begin(leg)
    if node(name, on: leg) != nil { try change(leg, .rename(name, new)) }
  }

  func syncNames(on leg: LegID) throws(BlockError) {
    try begin(leg)
    try tick()
    directories[leg]?.sync()
  }

  private func change(_ leg: LegID, _ naming: Naming) throws(BlockError) {
    naming.apply(to: &directories[leg, default: Directory()].names)
    if isRecording { directories[leg]?.changes.append((moment, naming)) }
    try tick()
  }

  // MARK: Files

  func makeNode(_ leg: LegID) -> Node {
    nodes += 1
    return Node(nodes, leg, pool.take(), isRecording ? pool.take() : nil)
  }

  func write(_ node: Node, _ data: UnsafeRawPointer?, at offset: Int, count: Int) throws(BlockError) {
    try begin(node.leg)
    let size = node.current.size
    node.current.write(data, at: offset, count: count) { sector in record(sector, of: node) }
    recordSize(of: node, was: size)
    try tick()
  }

  func resize(_ node: Node, to size: Int) throws(BlockError) {
    try begin(node.leg)
    let old = node.current.size
    if size < old { node.current.write(nil, at: size, count: old - size) { sector in record(sector, of: node) } }
    node.current.resize(size)
    recordSize(of: node, was: old)
    try tick()
  }

  func sync(_ node: Node) throws(BlockError) {
    try begin(node.leg)
    try tick()
    carryForward(node)
  }

  private func record(_ sector: Int, of node: Node) {
    guard isRecording else { return }
    var change = Change(moment: moment, sector: sector, hash: node.current.hash(of: sector), data: nil)
    if let data = node.current.data(of: sector) {
      change.data = node.kept.count
      node.kept.append(contentsOf: UnsafeRawBufferPointer(start: data, count: DiskImage.sector))
    }
    node.changes.append(change)
  }

  private func recordSize(of node: Node, was old: Int) {
    guard isRecording, node.current.size != old else { return }
    node.resizings.append(Resizing(moment: moment, size: node.current.size))
  }

  private func carryForward(_ node: Node) {
    guard let durable = node.durable else { return }
    if durable.size != node.current.size { durable.resize(node.current.size) }
    for change in node.changes {
      durable.set(change.sector, node.current.data(of: change.sector), node.current.hash(of: change.sector))
    }
    node.changes.removeAll(keepingCapacity: true)
    node.resizings.removeAll(keepingCapacity: true)
    node.kept.removeAll(keepingCapacity: true)
  }

  private func giveBack(_ leg: LegID) {
    guard let directory = directories[leg] else { return }
    var seen: Set<Int> = []
    var all = Array(directory.names.values) + Array(directory.durable.values)
    for (_, naming) in directory.changes { if case .link(_, let node) = naming { all.append(node) } }
    for node in all where seen.insert(node.number).inserted {
      pool.give(node.current)
      if let durable = node.durable { pool.give(durable) }
    }
  }
}

extension SimulatedDisks.Naming {
  func apply(to names: inout [String: SimulatedDisks.Node]) {
    switch self {
    case .link(let name, let node): names[name] = node
    case .unlink(let name): names[name] = nil
    case .rename(let old, let new):
      guard let node = names.removeValue(forKey: old) else { return }
      names[new] = node
    }
  }
}

/// Images that are used again and again.
final class ImagePool {
  private var free: [DiskImage] = []

  func take() -> DiskImage {
    guard let image = free.popLast() else { return DiskImage() }
    image.clear()
    return image
  }

  func give(_ image: DiskImage) { free.append(image) }
}
