import BlockLayers
import Glibc
import VHD

/// Images of the product's format, made and opened without the service.
///
/// Every 4 KiB of an image begin with their offset in the machine's order of bytes: the load checks what it reads.
enum StorageChain {
  static let page = 4096

  /// Opens layers, the base first; the topmost. Each is a mirrored file with one leg, as the service opens it.
  static func open(_ paths: [String]) throws -> VHDLayer? {
    var top: VHDLayer?
    for (index, path) in paths.enumerated() {
      let isTop = index == paths.count - 1
      let file = try mirrored(try PosixFile(path: path, mode: isTop ? .readWrite : .read), path)
      top = try VHDLayer.open(
        file, parent: top.map { VHDParent($0) }, readOnly: !isTop, log: isTop ? try log(of: file) : nil)
    }
    return top
  }

  /// As the service has one for each layer that is written; nobody looks for this one.
  private static func log(of file: any ByteFile) throws -> MetadataLog {
    let path = "/dev/shm/ftvs-bench-\(getpid()).log"
    defer { unlink(path) }
    return MetadataLog(path: path, layer: try VHDStructure(file).identity.uuid, boot: "")
  }

  private static func mirrored(_ file: PosixFile, _ path: String) throws -> MirroredFile {
    // The service asks the same of a leg's module before every call.
    let mark = path + ".shot"
    return try MirroredFile(
      name: path, legs: [.init(id: .io0, file: file, isShot: { access(mark, F_OK) == 0 })],
      onLegFailure: { (_, _) throws(BlockError) in })
  }

  /// Makes a dynamic image in which everything is written.
  static func makeBase(_ path: String, size: Int64) throws -> VHDLayer {
    let file = try PosixFile(path: path, mode: .create)
    try VHDLayer.createDynamic(file, size: size)
    let layer = try VHDLayer.open(file)
    try write(layer, pages: 0..<Int(size) / page)
    try layer.flush()
    return layer
  }

  /// Pages next to each other that a layer above the base holds: a file in many more pieces takes minutes to remove.
  private static let run = 16

  /// Makes a layer that holds every `stride`th run of pages of its parent, beginning with run `first`.
  ///
  /// - Parameter isFilledLater: gives it all the space that it can take, for the same reason.
  static func makeChild(
    _ path: String, on parent: VHDLayer, first: Int, stride: Int, isFilledLater: Bool = false
  ) throws -> VHDLayer {
    let file = try PosixFile(path: path, mode: .create)
    let name = String(path.split(separator: "/").last ?? "")
    try VHDLayer.createDifferencing(
      file, size: parent.size, parent: VHDParentReference(identity: parent.identity, name: name))
    let layer = try VHDLayer.open(file, parent: parent)
    for index in Swift.stride(from: first, to: Int(parent.size) / page / run, by: stride) {
      try write(layer, pages: index * run..<(index + 1) * run)
    }
    try layer.flush()
    if isFilledLater { try file.allocate(at: 0, count: file.size()) }
    return layer
  }

  private static func write(_ layer: VHDLayer, pages: Range<Int>) throws {
    let piece = min(pages.count, 256)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: piece * page, alignment: page)
    defer { buffer.deallocate() }
    buffer.initializeMemory(as: UInt8.self, repeating: 0x5a)
    var first = pages.lowerBound
    while first < pages.upperBound {
      let count = min(piece, pages.upperBound - first)
      for index in 0..<count {
        buffer.storeBytes(of: Int64((first + index) * page), toByteOffset: index * page, as: Int64.self)
      }
      try layer.write(UnsafeRawBufferPointer(rebasing: buffer[..<(count * page)]), at: Int64(first * page))
      first += count
    }
  }
}
