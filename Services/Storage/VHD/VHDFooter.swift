import BlockLayers

/// The kinds of VHD files.
public enum VHDKind: UInt32, Sendable, Hashable, CaseIterable {
  /// All sectors in order, then the footer.
  case fixed = 2
  /// Blocks are there once they were written.
  case dynamic = 3
  /// As dynamic, and what is not there is read from a parent.
  case differencing = 4
}

/// The footer ("Hard Disk Footer Format" of the specification): 512 bytes at the end of every file, and a copy at the
/// beginning of dynamic and differencing ones. Numbers are big-endian.
///
///     0 cookie "conectix"      8 features (2)         12 version 1.0      16 offset of the dynamic header, or all ones
///    24 time stamp            28 creator application  32 its version      36 creator system
///    40 original size         48 current size         56 geometry: cylinders (2), heads (1), sectors (1)
///    60 kind                  64 checksum             68 UUID (16)        84 saved state (1), then zeros
struct VHDFooter: Sendable, Equatable {
  static let length = 512
  /// 2040 GiB: what 65535 cylinders of other tools and 32-bit sector numbers in tables leave.
  static let largestSize: Int64 = 0xff00_0000 * 512

  var kind: VHDKind
  var size: Int64
  var identity: VHDIdentity
  /// Where the dynamic header is; nil in fixed files.
  var headerOffset: Int64?

  init(kind: VHDKind, size: Int64, identity: VHDIdentity, headerOffset: Int64?) {
    self.kind = kind
    self.size = size
    self.identity = identity
    self.headerOffset = headerOffset
  }

  /// Reads a footer; nil when the 512 bytes are not one.
  init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.length, bytes.starts(with: "conectix"),
      bytes.big32(at: 64) == bytes.vhdChecksum(fieldAt: 64), bytes.big32(at: 12) >> 16 == 1,
      let kind = VHDKind(rawValue: bytes.big32(at: 60)), let uuid = VHDUUID(bytes: bytes[68..<84]),
      let size = Int64(exactly: bytes.big64(at: 48)), size > 0, size <= Self.largestSize, size % 512 == 0
    else { return nil }
    self.kind = kind
    self.size = size
    identity = VHDIdentity(uuid: uuid, timeStamp: bytes.big32(at: 24))
    if kind == .fixed {
      headerOffset = nil
    } else {
      guard let offset = Int64(exactly: bytes.big64(at: 16)), offset <= largestOffset else { return nil }
      headerOffset = offset
    }
  }

  /// The footer as it is on disk.
  var bytes: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Self.length)
    let geometry = VHDGeometry(sectors: size / 512)
    bytes.put("conectix", at: 0)
    bytes.put(UInt32(2), at: 8)
    bytes.put(UInt32(0x0001_0000), at: 12)
    bytes.put(headerOffset.map { UInt64($0) } ?? .max, at: 16)
    bytes.put(identity.timeStamp, at: 24)
    // Other tools take the size from the geometry, rounded, unless they know the creator as one that means the size.
    bytes.put("win ", at: 28)
    bytes.put(UInt32(0x0006_0003), at: 32)
    bytes.put("Wi2k", at: 36)
    bytes.put(UInt64(size), at: 40)
    bytes.put(UInt64(size), at: 48)
    bytes.put(geometry.cylinders, at: 56)
    bytes.put(geometry.heads, at: 58)
    bytes.put(geometry.sectorsPerTrack, at: 59)
    bytes.put(kind.rawValue, at: 60)
    bytes.replaceSubrange(68..<84, with: identity.uuid.bytes)
    bytes.put(bytes.vhdChecksum(fieldAt: 64), at: 64)
    return bytes
  }
}

/// Cylinders, heads and sectors ("CHS Calculation" of the specification).
struct VHDGeometry: Sendable, Equatable {
  var cylinders: UInt16
  var heads: UInt8
  var sectorsPerTrack: UInt8

  init(sectors: Int64) {
    let total = min(max(sectors, 0), 65535 * 16 * 255)
    var heads: Int64
    var perTrack: Int64
    var cylinderHeads: Int64
    if total > 65535 * 16 * 63 {
      (perTrack, heads) = (255, 16)
      cylinderHeads = total / perTrack
    } else {
      perTrack = 17
      cylinderHeads = total / perTrack
      heads = max((cylinderHeads + 1023) / 1024, 4)
      if cylinderHeads >= heads * 1024 || heads > 16 {
        (perTrack, heads) = (31, 16)
        cylinderHeads = total / perTrack
      }
      if cylinderHeads >= heads * 1024 {
        (perTrack, heads) = (63, 16)
        cylinderHeads = total / perTrack
      }
    }
    cylinders = UInt16(clamping: cylinderHeads / heads)
    self.heads = UInt8(clamping: heads)
    sectorsPerTrack = UInt8(clamping: perTrack)
  }
}
