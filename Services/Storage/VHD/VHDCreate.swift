import BlockLayers

extension VHDLayer {
  /// The block size of files that this creates unless told otherwise, in bytes.
  public static let usualBlockSize: Int64 = 2 << 20
  /// The largest size of a VHD file: 2040 GiB.
  public static let largestSize = VHDFooter.largestSize

  /// Makes an empty file a fixed VHD file that reads as zeros. Durable when it returns.
  public static func createFixed(
    _ file: any ByteFile, size: Int64, identity: VHDIdentity = .new()
  ) throws(BlockError) {
    try requireSize(size, file.name)
    let footer = VHDFooter(kind: .fixed, size: size, identity: identity, headerOffset: nil)
    try file.truncate(to: size)
    try file.vhdWrite(footer.bytes, at: size)
    try file.flush()
  }

  /// Makes an empty file a dynamic VHD file that reads as zeros. Durable when it returns.
  ///
  /// - Parameter blockSize: a power of two, 4 KiB to 256 MiB; other tools expect 512 KiB or 2 MiB.
  public static func createDynamic(
    _ file: any ByteFile, size: Int64, blockSize: Int64 = usualBlockSize, identity: VHDIdentity = .new()
  ) throws(BlockError) {
    try createSparse(file, kind: .dynamic, size: size, blockSize: blockSize, identity: identity, parent: nil)
  }

  /// Makes an empty file a differencing VHD file that reads as its parent. Durable when it returns.
  ///
  /// - Parameters:
  ///   - size: the parent's size, or more.
  ///   - parent: what it records of its parent; `VHDLayer.identity` is the parent's.
  public static func createDifferencing(
    _ file: any ByteFile, size: Int64, parent: VHDParentReference, blockSize: Int64 = usualBlockSize,
    identity: VHDIdentity = .new()
  ) throws(BlockError) {
    try createSparse(file, kind: .differencing, size: size, blockSize: blockSize, identity: identity, parent: parent)
  }

  static func requireSize(_ size: Int64, _ name: String) throws(BlockError) {
    guard size > 0, size % 512 == 0 else {
      throw BlockError(.misuse, "\(name): a size of \(size) bytes; it must be a positive multiple of 512")
    }
    guard size <= largestSize else {
      throw BlockError(
        .tooLarge, "\(name): \(size) bytes; a VHD file holds at most 2040 GiB (\(largestSize) bytes)")
    }
  }

  private static func createSparse(
    _ file: any ByteFile, kind: VHDKind, size: Int64, blockSize: Int64, identity: VHDIdentity,
    parent: VHDParentReference?
  ) throws(BlockError) {
    try requireSize(size, file.name)
    guard VHDHeader.blockSizes.contains(blockSize), blockSize & (blockSize - 1) == 0 else {
      throw BlockError(.misuse, "\(file.name): a block size of \(blockSize); it must be a power of two from 4 KiB on")
    }
    let count = VHDStructure.blockCount(size: size, blockSize: blockSize)
    let footer = VHDFooter(kind: kind, size: size, identity: identity, headerOffset: 512)
    var header = VHDHeader(tableOffset: 1536, entryCount: UInt32(clamping: count), blockSize: blockSize)
    if let parent {
      header.parent = parent.identity
      header.parentName = parent.name
      for (code, path) in [
        (VHDHeader.Locator.relative, parent.relativePath.map(windowsPath)),
        (VHDHeader.Locator.absolute, parent.absolutePath),
      ] {
        guard let path, !path.isEmpty else { continue }
        let bytes = path.utf16.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
        let locator = VHDHeader.Locator(code: code, length: bytes.count, offset: header.tableOffset)
        try file.vhdWrite(bytes, at: locator.offset)
        header.locators.append(locator)
        header.tableOffset += locator.sectors * 512
      }
    }
    // The table begins on a page, so that one page of it is one page of the file.
    header.tableOffset = roundUp(header.tableOffset, to: 4096)
    let tableLength = roundUp(4 * count, to: 512)
    var at = header.tableOffset
    let end = at + tableLength
    let ones = [UInt8](repeating: 0xff, count: Int(min(tableLength, 1 << 20)))
    while at < end {
      let piece = min(Int64(ones.count), end - at)
      try file.vhdWrite(piece == ones.count ? ones : Array(ones.prefix(Int(piece))), at: at)
      at += piece
    }
    try file.vhdWrite(footer.bytes, at: end)
    try file.vhdWrite(header.bytes, at: 512)
    try file.vhdWrite(footer.bytes, at: 0)
    try file.flush()
  }

  /// Relative paths in VHD files are Windows' paths.
  private static func windowsPath(_ path: String) -> String {
    let path = String(path.map { $0 == "/" ? "\\" : $0 })
    return path.hasPrefix(".") ? path : ".\\" + path
  }
}
