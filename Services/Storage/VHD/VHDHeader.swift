import BlockLayers

/// How a differencing file names its parent.
public struct VHDParentReference: Sendable, Hashable {
  /// What the parent must be.
  public var identity: VHDIdentity
  /// Its file name, for people and other tools.
  public var name: String
  /// Its path from the directory of the child, with slashes; nil when not recorded.
  public var relativePath: String?
  /// Its absolute path; nil when not recorded. Copies of one file in different places should not record one.
  public var absolutePath: String?

  public init(identity: VHDIdentity, name: String, relativePath: String? = nil, absolutePath: String? = nil) {
    self.identity = identity
    self.name = name
    self.relativePath = relativePath
    self.absolutePath = absolutePath
  }
}

/// The header of dynamic and differencing files ("Dynamic Disk Header Format"): 1024 bytes, big-endian.
///
///     0 cookie "cxsparse"     8 all ones            16 offset of the block allocation table
///    24 version 1.0          28 table entries       32 block size             36 checksum
///    40 parent's UUID (16)   56 parent's time stamp 60 reserved               64 parent's name, UTF-16BE (512)
///   576 eight parent locators of 24 bytes: code, space in sectors, length in bytes, reserved, offset (8); then zeros
struct VHDHeader: Sendable, Equatable {
  static let length = 1024
  static let locatorCount = 8
  /// Block sizes that are understood: powers of two.
  static let blockSizes: ClosedRange<Int64> = 4096...(256 << 20)

  /// Where a parent's path is and how it is written.
  struct Locator: Sendable, Equatable {
    static let relative: UInt32 = 0x5732_7275  // W2ru: relative, UTF-16LE
    static let absolute: UInt32 = 0x5732_6b75  // W2ku: absolute, UTF-16LE
    var code: UInt32
    var length: Int
    var offset: Int64
    /// Sectors that it takes at `offset`.
    var sectors: Int64 { (Int64(length) + 511) / 512 }
    /// Whether it has the length of a path; what has not is passed over.
    var isPath: Bool { (1...65536).contains(length) }
  }

  var tableOffset: Int64
  var entryCount: UInt32
  var blockSize: Int64
  var parent: VHDIdentity
  var parentName: String
  var locators: [Locator]

  init(tableOffset: Int64, entryCount: UInt32, blockSize: Int64) {
    self.tableOffset = tableOffset
    self.entryCount = entryCount
    self.blockSize = blockSize
    parent = VHDIdentity(uuid: .zero, timeStamp: 0)
    parentName = ""
    locators = []
  }

  /// Reads a header; nil when the 1024 bytes are not one that is understood.
  init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.length, bytes.starts(with: "cxsparse"),
      bytes.big32(at: 36) == bytes.vhdChecksum(fieldAt: 36), bytes.big32(at: 24) >> 16 == 1,
      let table = Int64(exactly: bytes.big64(at: 16)), table >= 512, table <= largestOffset, table % 512 == 0,
      let uuid = VHDUUID(bytes: bytes[40..<56])
    else { return nil }
    tableOffset = table
    entryCount = bytes.big32(at: 28)
    blockSize = Int64(bytes.big32(at: 32))
    guard Self.blockSizes.contains(blockSize), blockSize & (blockSize - 1) == 0 else { return nil }
    parent = VHDIdentity(uuid: uuid, timeStamp: bytes.big32(at: 56))
    var units: [UInt16] = []
    while units.count < 256, case let unit = bytes.big16(at: 64 + 2 * units.count), unit != 0 { units.append(unit) }
    parentName = String(decoding: units, as: UTF16.self)
    locators = (0..<Self.locatorCount).compactMap { index in
      let at = 576 + 24 * index
      let code = bytes.big32(at: at)
      guard code != 0, let offset = Int64(exactly: bytes.big64(at: at + 16)), offset <= largestOffset else {
        return nil
      }
      return Locator(code: code, length: Int(bytes.big32(at: at + 8)), offset: offset)
    }
  }

  /// The header as it is on disk.
  var bytes: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Self.length)
    bytes.put("cxsparse", at: 0)
    bytes.put(UInt64.max, at: 8)
    bytes.put(UInt64(clamping: tableOffset), at: 16)
    bytes.put(UInt32(0x0001_0000), at: 24)
    bytes.put(entryCount, at: 28)
    bytes.put(UInt32(clamping: blockSize), at: 32)
    bytes.replaceSubrange(40..<56, with: parent.uuid.bytes)
    bytes.put(parent.timeStamp, at: 56)
    for (index, unit) in parentName.utf16.prefix(255).enumerated() { bytes.put(unit, at: 64 + 2 * index) }
    for (index, locator) in locators.prefix(Self.locatorCount).enumerated() {
      let at = 576 + 24 * index
      bytes.put(locator.code, at: at)
      bytes.put(UInt32(clamping: locator.sectors), at: at + 4)
      bytes.put(UInt32(clamping: locator.length), at: at + 8)
      bytes.put(UInt64(clamping: locator.offset), at: at + 16)
    }
    bytes.put(bytes.vhdChecksum(fieldAt: 36), at: 36)
    return bytes
  }
}
