import BlockLayers

extension VHDLayer {
  /// Makes a file larger; what is new reads as zeros, or as the parent where that is larger. Durable when it returns. Cut
  /// off at any point the file has its old size or the new one, and the call can be repeated.
  ///
  /// A dynamic or differencing file whose table has no room for the new blocks gets a new table behind the last block;
  /// no block is moved. Nobody may have the file open.
  ///
  /// - Parameter size: in bytes, a multiple of 512, at most `largestSize`.
  /// - Throws: `misuse` when the file is larger already, `tooLarge`, `damaged` when it has to be repaired first.
  public static func grow(_ file: any ByteFile, to size: Int64) throws(BlockError) {
    try requireSize(size, file.name)
    let structure = try VHDStructure(file)
    guard size >= structure.size else {
      throw BlockError(
        .misuse, "\(file.name) has \(structure.size) bytes; a disk cannot be made smaller, \(size) bytes are less")
    }
    guard !structure.usedCopy, structure.footerLength == VHDFooter.length else {
      throw BlockError(.damaged, "\(file.name) has no footer at its end; repair it first")
    }
    if let header = structure.header {
      try growTable(file, structure, header, to: size)
      try writeFooters(structure.footerBytes(size: size), to: file)
    } else {
      try growFixed(file, structure, to: size)
    }
  }

  private static func growFixed(
    _ file: any ByteFile, _ structure: VHDStructure, to size: Int64
  ) throws(BlockError) {
    guard size > structure.size else { return }
    // The new footer makes the file long enough, with zeros between; the old one is data then.
    try file.vhdWrite(structure.footerBytes(size: size), at: size)
    try file.flush()
    try file.punch(at: structure.fileSize - Int64(VHDFooter.length), count: Int64(VHDFooter.length))
    try file.flush()
  }

  /// Gives a file a table with room for all blocks of a size.
  private static func growTable(
    _ file: any ByteFile, _ structure: VHDStructure, _ header: VHDHeader, to size: Int64
  ) throws(BlockError) {
    let count = VHDStructure.blockCount(size: size, blockSize: header.blockSize)
    let used = VHDStructure.blockCount(size: structure.size, blockSize: header.blockSize)
    guard count > Int64(header.entryCount) else { return try clearEntries(file, header, used..<count) }
    guard let offset = structure.footer.headerOffset, let entries = UInt32(exactly: count) else {
      throw BlockError(.tooLarge, "\(file.name): \(count) blocks")
    }
    let start = roundUp(structure.fileSize - Int64(VHDFooter.length), to: 4096)
    let length = roundUp(4 * count, to: 512)
    // The footer first: it makes the file long enough. While the table lies over the old one the copy stands for it.
    try file.vhdWrite(structure.footerBytes, at: start + length)
    try copyTable(file, header, used, to: start, length: length)
    try file.flush()
    var larger = header
    larger.tableOffset = start
    larger.entryCount = entries
    // All that changes is in the header's first sector, which a disk writes as a whole.
    let bytes = try file.vhdBytes(at: offset, count: VHDHeader.length)
    try file.vhdWrite(larger.sector(in: bytes), at: offset)
    try file.flush()
  }

  /// Entries beyond those that a size needs may hold anything.
  private static func clearEntries(
    _ file: any ByteFile, _ header: VHDHeader, _ entries: Range<Int64>
  ) throws(BlockError) {
    guard !entries.isEmpty else { return }
    var at = entries.lowerBound
    while at < entries.upperBound {
      let count = min(entries.upperBound - at, 65536)
      try file.vhdWrite([UInt8](repeating: 0xff, count: Int(4 * count)), at: header.tableOffset + 4 * at)
      at += count
    }
    try file.flush()
  }

  private static func copyTable(
    _ file: any ByteFile, _ header: VHDHeader, _ entries: Int64, to start: Int64, length: Int64
  ) throws(BlockError) {
    let old = 4 * entries
    var at: Int64 = 0
    while at < length {
      let count = Int(min(1 << 20, length - at))
      var piece = [UInt8](repeating: 0xff, count: count)
      let there = Int(min(Int64(count), max(0, old - at)))
      if there > 0 {
        piece.replaceSubrange(..<there, with: try file.vhdBytes(at: header.tableOffset + at, count: there))
      }
      try file.vhdWrite(piece, at: start + at)
      at += Int64(count)
    }
  }

  /// Writes the footer at the end and then the copy at the beginning. Durable when it returns.
  private static func writeFooters(_ footer: [UInt8], to file: any ByteFile) throws(BlockError) {
    try file.vhdWrite(footer, at: try file.size() - Int64(footer.count))
    try file.flush()
    try file.vhdWrite(footer, at: 0)
    try file.flush()
  }
}

extension VHDStructure {
  /// The footer as it was read, for another size.
  func footerBytes(size: Int64) -> [UInt8] {
    var bytes = footerBytes
    let geometry = VHDGeometry(sectors: size / 512)
    // The original size is for people, but libvhdi takes it for the size.
    bytes.put(UInt64(clamping: size), at: 40)
    bytes.put(UInt64(clamping: size), at: 48)
    bytes.put(geometry.cylinders, at: 56)
    bytes.put(geometry.heads, at: 58)
    bytes.put(geometry.sectorsPerTrack, at: 59)
    bytes.put(bytes.vhdChecksum(fieldAt: 64), at: 64)
    return bytes
  }
}

extension VHDHeader {
  /// The first sector of the header as it was read, with the place and the length of this one's table.
  fileprivate func sector(in bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    bytes.put(UInt64(clamping: tableOffset), at: 16)
    bytes.put(entryCount, at: 28)
    bytes.put(bytes.vhdChecksum(fieldAt: 36), at: 36)
    return Array(bytes.prefix(512))
  }
}
