import Primitives
import BlockLayers
import Synchronization

/// What a differencing file is opened on: the parent as a device, and who it is.
public struct VHDParent: Sendable {
  /// Where sectors that the child does not hold are read.
  public var device: any BlockDevice
  /// Must be what the child recorded.
  public var identity: VHDIdentity

  public init(device: any BlockDevice, identity: VHDIdentity) {
    self.device = device
    self.identity = identity
  }

  public init(_ layer: VHDLayer) { self.init(device: layer, identity: layer.identity) }
}

/// An open VHD file: fixed, dynamic or differencing.
///
/// Dynamic and differencing files on disk:
///
///     footer copy | header | parent locators | table | bitmap, block | bitmap, block | ... | footer
///
/// A sector is read from its block when the table has the block and the block's bitmap has the sector, else from the
/// parent, else as zeros.
///
/// Order of writes: data goes to the file at once. Table entries and bitmaps change in memory and are written by
/// `flush`, after the data has been synced, and are then synced themselves; so a crash leaves every sector as it was at
/// the last flush or as a later write made it. A new block is written behind the last one, over the old footer, with a
/// new footer behind it; until the table entry is on disk nothing refers to it, and the copy at the beginning stands for
/// the footer.
public final class VHDLayer: BlockDevice, @unchecked Sendable {
  // `map` has rules of its own; `end` and `isWritingMetadata` change with `lock` held exclusively; `flushing` is touched
  // with `flushMonitor` held; the rest is immutable, atomic or Sendable.

  /// Bitmaps in memory beyond which clean ones are given up: 512 bytes each with the usual block size.
  static let bitmapLimit = 16384
  /// Table entries and bitmaps that may wait for a flush before a write makes one by itself.
  static let dirtyLimit = 8192

  public let size: Int64
  public let isReadOnly: Bool
  /// What the file's structures say.
  public let structure: VHDStructure

  let file: any ByteFile
  let parent: (any BlockDevice)?
  /// Where what waits for a flush survives the process; nil where that is of no use.
  public let log: MetadataLog?
  /// Where what this file does not hold is; nil where the parent is asked.
  let owners: OwnerMap?
  let lock = ReadWriteLock()
  /// Nil in fixed files.
  let map: BlockMap?
  /// Where the next block can begin and the footer is now.
  var end: Int64
  var isWritingMetadata = false
  let flushMonitor = Monitor()
  var flushing = FlushState()
  let closed = Atomic<Bool>(false)

  /// Who this file is, for children made on it.
  public var identity: VHDIdentity { structure.identity }
  /// The kind of file.
  public var kind: VHDKind { structure.kind }

  /// Opens a file.
  ///
  /// - Parameters:
  ///   - parent: what a differencing file was made on; nil for other kinds.
  ///   - readOnly: refuses writes. A file opened for writing whose end is not as it should be (after a crash) gets its
  ///     footer back.
  ///   - log: keeps what waits for a flush; what an earlier one kept must have been settled.
  /// - Throws: `parentMismatch` when the parent is not the recorded one, `damaged` when the file contradicts itself.
  public static func open(
    _ file: any ByteFile, parent: VHDParent? = nil, readOnly: Bool = false, log: MetadataLog? = nil
  ) throws(BlockError) -> VHDLayer {
    try VHDLayer(file, parent: parent, readOnly: readOnly, log: log)
  }

  private init(
    _ file: any ByteFile, parent: VHDParent?, readOnly: Bool, log: MetadataLog?
  ) throws(BlockError) {
    let structure = try VHDStructure(file)
    try Self.checkParent(structure, parent, file.name)
    if !readOnly, structure.hasPathOutside {
      throw BlockError(.damaged, "\(file.name): a path of its parent is said to be behind its end; it can only be read")
    }
    self.file = file
    self.parent = parent?.device
    self.log = log
    owners = OwnerMap(OwnerMap.run(from: parent?.device as? VHDLayer))
    self.structure = structure
    isReadOnly = readOnly
    size = structure.size
    if let header = structure.header {
      let (map, end) = try Self.loadTable(file, header, structure)
      self.map = map
      self.end = end
      if !readOnly { try repairEnd() }
    } else {
      map = nil
      end = structure.size
    }
  }

  /// Opens a differencing file on a layer.
  public static func open(
    _ file: any ByteFile, parent: VHDLayer, readOnly: Bool = false
  ) throws(BlockError) -> VHDLayer {
    try open(file, parent: VHDParent(parent), readOnly: readOnly)
  }

  /// Bytes of data that the file holds space for.
  public var allocatedBytes: Int64 {
    guard let map else { return size }
    lock.lockShared()
    defer { lock.unlock() }
    return Int64((0..<map.count).count { map.entry($0) != nil }) * map.blockSize
  }

  /// Closes this file, not the parent.
  public func close() {
    closed.store(true, ordering: .sequentiallyConsistent)
    file.close()
  }

  @inline(__always)
  func requireOpen() throws(BlockError) {
    if closed.load(ordering: .relaxed) { throw BlockError(.closed, file.name) }
  }

  @inline(__always)
  func requireWritable() throws(BlockError) {
    try requireOpen()
    if isReadOnly { throw BlockError(.readOnly, file.name) }
  }

  // MARK: Opening

  private static func checkParent(
    _ structure: VHDStructure, _ parent: VHDParent?, _ name: String
  ) throws(BlockError) {
    guard structure.kind == .differencing else {
      guard parent == nil else { throw BlockError(.misuse, "\(name) has no parent and was given one") }
      return
    }
    let recorded = structure.parent?.identity
    guard let parent else {
      throw BlockError(.parentMismatch, "\(name) needs its parent \(recorded?.description ?? "")")
    }
    guard parent.identity == recorded else {
      throw BlockError(
        .parentMismatch,
        "\(name) was made on \(recorded?.description ?? "nothing") and would show wrong data on \(parent.identity)")
    }
  }

  /// - Parameter entries: of blocks that the table does not have.
  static func loadTable(
    _ file: any ByteFile, _ header: VHDHeader, _ structure: VHDStructure,
    adding entries: [(block: Int, entry: UInt32)] = []
  ) throws(BlockError) -> (BlockMap, end: Int64) {
    let count = VHDStructure.blockCount(size: structure.size, blockSize: header.blockSize)
    guard let map = BlockMap(count: Int(count), blockSize: header.blockSize) else {
      throw BlockError(.io, "\(file.name): no memory for its table")
    }
    let metadata = structure.metadata
    var blocks: [UInt32] = []
    try structure.forEachEntry(header, in: file) { block, entry in
      map.load(block, entry: entry)
      blocks.append(entry)
    }
    for (block, entry) in entries {
      map.load(block, entry: entry)
      blocks.append(entry)
    }
    let space = map.bitmapLength + map.blockSize
    blocks.sort()
    var previousEnd: Int64 = 0
    for entry in blocks {
      let start = Int64(entry) * 512
      guard start >= previousEnd, start + space <= structure.fileSize,
        metadata.allSatisfy({ start + space <= $0.lowerBound || start >= $0.upperBound })
      else { throw BlockError(.damaged, "\(file.name): a block at \(start) lies over something else or outside") }
      previousEnd = start + space
    }
    // A table may claim more entries than the size needs and lie at the file's end: nothing is put over them.
    let end = metadata.map(\.upperBound).reduce(previousEnd, max)
    return (map, roundUp(min(end, max(structure.fileSize, previousEnd)), to: 512))
  }

  /// Cuts off what nothing refers to and writes the footer where it belongs, unless it is there.
  private func repairEnd() throws(BlockError) {
    if structure.fileSize == end + 512, !structure.usedCopy { return }
    // What lies there may be blocks that a crash left unreferenced; new blocks must find zeros.
    try file.truncate(to: end)
    try file.vhdWrite(structure.footerBytes, at: end)
    try file.flush()
  }
}
