import ArgumentParser

/// Formats of disk image files.
enum DiskFormat: String, CaseIterable, Sendable, ExpressibleByArgument {
  case raw, qcow2, vmdk, vhd, vhdx

  /// `vpc` is what qemu-img calls `vhd`.
  init?(argument: String) { self.init(rawValue: argument == "vpc" ? "vhd" : argument.lowercased()) }

  /// The name of qemu-img's driver.
  var driver: String { self == .vhd ? "vpc" : rawValue }

  /// What a new file is made with, for qemu-img.
  var creationOptions: String? {
    switch self {
    // Otherwise the size would become one that cylinders, heads and sectors can tell.
    case .vhd: "subformat=dynamic,force_size=on"
    case .vhdx: "subformat=dynamic"
    case .raw, .qcow2, .vmdk: nil
    }
  }

  /// Whether qemu-img can check the file's structure.
  var isCheckable: Bool { [.qcow2, .vmdk, .vhdx].contains(self) }

  /// Names for `--format`.
  static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }
}

/// The bytes of a disk image file that tell its format. The format is never left to qemu-img to guess: who wrote the first
/// sector of a raw disk, a guest, could make it one that names other files of the host.
struct DiskFileHead: Sendable {
  static let headBytes = 512
  static let tailBytes = 512

  /// The first bytes of the file, and the last.
  var head: [UInt8]
  var tail: [UInt8]

  private static let vhdCookie = Array("conectix".utf8)
  private static let qcowMagic: [UInt8] = [0x51, 0x46, 0x49, 0xFB]

  /// The format that the bytes announce. Throws what to do where that is none that is taken.
  func format() throws(DiskFormatProblem) -> DiskFormat {
    if head.starts(with: Self.qcowMagic) {
      guard number(at: 4, count: 4) >= 2 else { throw .unknown("a qcow (version 1) image") }
      return .qcow2
    }
    if head.starts(with: "KDMV".utf8) { return .vmdk }
    if head.starts(with: "vhdxfile".utf8) { return .vhdx }
    if head.starts(with: Self.vhdCookie) || hasFooter { return .vhd }
    if head.starts(with: "# Disk DescriptorFile".utf8) { throw .external("a VMDK descriptor") }
    let others: [(String, [UInt8], Int)] = [
      ("a VMDK image of an ESX server (COWD)", Array("COWD".utf8), 0), ("a QED image", Array("QED\0".utf8), 0),
      ("a VDI image", [0x7F, 0x10, 0xDA, 0xBE], 64),
    ]
    for (name, magic, offset) in others where head.dropFirst(offset).starts(with: magic) { throw .unknown(name) }
    let packed: [(String, [UInt8], Int)] = [
      ("gzip", [0x1F, 0x8B, 0x08], 0), ("xz", [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0], 0),
      ("zstd", [0x28, 0xB5, 0x2F, 0xFD], 0),
      ("bzip2", Array("BZh".utf8), 0), ("zip", [0x50, 0x4B, 3, 4], 0), ("tar (or OVA)", Array("ustar".utf8), 257),
    ]
    for (name, magic, offset) in packed where head.dropFirst(offset).starts(with: magic) { throw .packed(name) }
    return .raw
  }

  /// Throws when a file of this format needs other files, or lacks its end, as far as these bytes tell.
  func requireWhole(_ format: DiskFormat) throws(DiskFormatProblem) {
    switch format {
    case .raw, .vhdx: break
    case .qcow2:
      if number(at: 8, count: 8) != 0 { throw .external("a qcow2 image with a backing file") }
      // Incompatible feature bit 2, which version 3 has.
      if number(at: 4, count: 4) >= 3, number(at: 72, count: 8) & 4 != 0 {
        throw .external("a qcow2 image with an external data file")
      }
    case .vmdk:
      // A header without a capacity is the wrapping of a descriptor that names other files.
      if head.dropFirst(12).prefix(8).allSatisfy({ $0 == 0 }) { throw .external("a VMDK descriptor") }
    case .vhd:
      guard hasFooter else { throw .truncated }
      if tail.dropFirst(60).prefix(4).elementsEqual([0, 0, 0, 4]) { throw .external("a differencing VHD") }
    }
  }

  /// Whether a VHD's footer is at the end, its checksum included: the complement of the sum of the other bytes.
  private var hasFooter: Bool {
    guard tail.count == Self.tailBytes, tail.starts(with: Self.vhdCookie) else { return false }
    let sum = tail.enumerated().reduce(UInt32(0)) { (64..<68).contains($1.offset) ? $0 : $0 &+ UInt32($1.element) }
    return tail[64..<68].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } == ~sum
  }

  /// A big-endian number of the head; zeros beyond its end.
  private func number(at offset: Int, count: Int) -> UInt64 {
    (offset..<offset + count).reduce(0) { $0 << 8 | UInt64($1 < head.count ? head[$1] : 0) }
  }
}

/// Why a disk image file is not taken.
enum DiskFormatProblem: Error, Equatable {
  /// It is only a part: its content is in other files, too.
  case external(String)
  /// A format that is not known.
  case unknown(String)
  /// Compressed, or an archive.
  case packed(String)
  /// Its end is missing.
  case truncated

  func sentence(_ path: String) -> String {
    switch self {
    case .external(let what):
      "\(path) is \(what): a part of the content is in other files. Make one file of it: qemu-img convert -O qcow2 \(path) NEW."
    case .unknown(let what):
      "\(path) is \(what), which is none of \(DiskFormat.names). Convert it: qemu-img convert -O qcow2 \(path) NEW."
    case .packed(let what):
      "\(path) is packed (\(what)); unpack it first. If it is a raw disk all the same: --format raw."
    case .truncated: "\(path) has no VHD footer at its end: it is damaged, or was not copied whole."
    }
  }
}
