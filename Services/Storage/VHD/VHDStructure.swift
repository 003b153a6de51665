import BlockLayers

/// What the structures of a VHD file say, checked as far as it can be without the table.
public struct VHDStructure: Sendable {
  /// The kind of file.
  public var kind: VHDKind { footer.kind }
  /// Its size as a virtual machine sees it, in bytes.
  public var size: Int64 { footer.size }
  /// Its identifier and time stamp.
  public var identity: VHDIdentity { footer.identity }
  /// The block size in bytes; nil in fixed files.
  public var blockSize: Int64? { header?.blockSize }
  /// What a differencing file records of its parent.
  public let parent: VHDParentReference?
  /// Whether the footer at the end is missing or damaged and the copy at the beginning was used.
  public let usedCopy: Bool

  let footer: VHDFooter
  /// The footer as it was read: what its creator wrote in fields that are of no use here stays.
  let footerBytes: [UInt8]
  let header: VHDHeader?
  let fileSize: Int64
  /// Bytes that the footer takes at the end: 512, or 511 in files of the format's first tools.
  let footerLength: Int

  /// Reads the structures of a file.
  ///
  /// - Throws: `damaged` when it is no VHD file, or one that contradicts itself.
  public init(_ file: any ByteFile) throws(BlockError) {
    fileSize = try file.size()
    guard fileSize >= 512 else { throw BlockError(.damaged, "\(file.name) is too short for a VHD file") }
    let lastBytes = try file.vhdBytes(at: fileSize - 512, count: 512)
    let firstBytes = try file.vhdBytes(at: 0, count: 512)
    let shortBytes = Array(lastBytes.dropFirst()) + [0]
    if let last = VHDFooter(lastBytes), last.kind != .fixed || last.size <= fileSize - 512 {
      footer = last
      footerBytes = lastBytes
      footerLength = VHDFooter.length
      usedCopy = false
    } else if let last = VHDFooter(shortBytes), last.kind != .fixed || last.size <= fileSize - 511 {
      footer = last
      footerBytes = shortBytes
      footerLength = VHDFooter.length - 1
      usedCopy = false
    } else if let first = VHDFooter(firstBytes), first.kind != .fixed {
      footer = first
      footerBytes = firstBytes
      footerLength = VHDFooter.length
      usedCopy = true
    } else {
      throw BlockError(.damaged, "\(file.name) is not a VHD file: no valid footer at its end or beginning")
    }
    guard let offset = footer.headerOffset else {
      header = nil
      parent = nil
      return
    }
    guard offset >= 512, offset % 512 == 0, offset + Int64(VHDHeader.length) <= fileSize,
      let header = VHDHeader(try file.vhdBytes(at: offset, count: VHDHeader.length))
    else { throw BlockError(.damaged, "\(file.name) has no valid header where its footer says") }
    self.header = header
    // Where the copy is used there is no footer at the end that the table could lie under.
    let end = usedCopy ? fileSize : fileSize - Int64(footerLength)
    try Self.check(header, at: offset, footer, end: end, name: file.name)
    parent = footer.kind == .differencing ? try Self.reference(header, file, fileSize: fileSize) : nil
  }

  /// How many table entries the size needs.
  static func blockCount(size: Int64, blockSize: Int64) -> Int64 { (size + blockSize - 1) / blockSize }

  private static func check(
    _ header: VHDHeader, at offset: Int64, _ footer: VHDFooter, end: Int64, name: String
  ) throws(BlockError) {
    let needed = blockCount(size: footer.size, blockSize: header.blockSize)
    guard Int64(header.entryCount) >= needed else {
      throw BlockError(.damaged, "\(name): \(header.entryCount) table entries for \(needed) blocks")
    }
    let used = header.tableOffset + 4 * needed
    // All of it that is claimed: where it went on behind the file, blocks would be put over it.
    guard header.tableOffset + 4 * Int64(header.entryCount) <= end,
      used <= offset || header.tableOffset >= offset + Int64(VHDHeader.length)
    else {
      throw BlockError(.damaged, "\(name): its table lies outside of the file or over the header")
    }
  }

  private static func reference(
    _ header: VHDHeader, _ file: any ByteFile, fileSize: Int64
  ) throws(BlockError) -> VHDParentReference {
    var reference = VHDParentReference(identity: header.parent, name: header.parentName)
    for locator in header.locators {
      // A path that is longer or lies outside is another tool's fault and not needed: the caller knows the parent.
      guard locator.isPath, locator.offset <= fileSize - Int64(locator.length) else {
        continue
      }
      guard locator.code == VHDHeader.Locator.relative || locator.code == VHDHeader.Locator.absolute else { continue }
      let bytes = try file.vhdBytes(at: locator.offset, count: locator.length)
      let units = stride(from: 0, to: bytes.count - 1, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 }
      let path = String(decoding: units.prefix { $0 != 0 }, as: UTF16.self)
      if locator.code == VHDHeader.Locator.relative {
        reference.relativePath = slashed(path)
      } else {
        reference.absolutePath = path
      }
    }
    return reference
  }

  private static func slashed(_ path: String) -> String {
    let path = String(path.map { $0 == "\\" ? "/" : $0 })
    return path.hasPrefix("./") ? String(path.dropFirst(2)) : path
  }
}

extension VHDStructure {
  /// The parts of a dynamic or differencing file that are no blocks and not the footer at the end.
  var metadata: [Range<Int64>] {
    guard let header, let offset = footer.headerOffset else { return [] }
    var ranges = [
      0..<Int64(VHDFooter.length), offset..<offset + Int64(VHDHeader.length),
      header.tableOffset..<header.tableOffset + 4 * Int64(header.entryCount),
    ]
    for locator in header.locators where locator.isPath && locator.offset < fileSize {
      ranges.append(locator.offset..<locator.offset + locator.sectors * 512)
    }
    return ranges
  }

  /// Whether a path of the parent is said to be where the file has not got to: blocks that are added would come to lie
  /// over it, and the file would not open again.
  var hasPathOutside: Bool {
    header?.locators.contains { $0.isPath && $0.offset + $0.sectors * 512 > fileSize } ?? false
  }

  /// Calls `body` with each block that the table has, and its entry.
  func forEachEntry(
    _ header: VHDHeader, in file: any ByteFile, _ body: (_ block: Int, _ entry: UInt32) -> Void
  ) throws(BlockError) {
    let count = Self.blockCount(size: size, blockSize: header.blockSize)
    var block: Int64 = 0
    while block < count {
      // Small enough that the memory for it is used again by whoever opens a file next.
      let piece = Int(min(count - block, 8192))
      let bytes = try file.vhdBytes(at: header.tableOffset + 4 * block, count: 4 * piece)
      for index in 0..<piece {
        let entry = bytes.big32(at: 4 * index)
        if entry != .max { body(Int(block) + index, entry) }
      }
      block += Int64(piece)
    }
  }
}

extension ByteFile {
  func vhdBytes(at offset: Int64, count: Int) throws(BlockError) -> [UInt8] {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
    defer { buffer.deallocate() }
    try read(into: buffer, at: offset)
    return Array(buffer)
  }

  func vhdWrite(_ bytes: [UInt8], at offset: Int64) throws(BlockError) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
    defer { buffer.deallocate() }
    buffer.copyBytes(from: bytes)
    try write(UnsafeRawBufferPointer(buffer), at: offset)
  }
}
