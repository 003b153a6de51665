import BlockLayers
import FuzzSupport
import VHD

/// VHD files: read, verified, written and repaired. With an odd first byte the sums of footers and header are set right, else a wrong one
/// hides everything behind it.
@main enum VHDFuzzer: Fuzzer {
  static func seeds() throws -> [[UInt8]] {
    let identity = VHDIdentity(uuid: .random(), timeStamp: 1)
    let fixed = MemoryFile()
    try VHDLayer.createFixed(fixed, size: 4096, identity: identity)
    let dynamic = MemoryFile()
    try VHDLayer.createDynamic(dynamic, size: 64 << 10, blockSize: 4096, identity: identity)
    let empty = dynamic.bytes
    let parent = try VHDLayer.open(dynamic)
    for offset: Int64 in [0, 9 << 12] { try write(parent, at: offset) }
    try parent.flush()
    let child = MemoryFile()
    let reference = VHDParentReference(identity: identity, name: "a", relativePath: "b/a.vhd", absolutePath: "/b/a.vhd")
    try VHDLayer.createDifferencing(child, size: 64 << 10, parent: reference, blockSize: 4096, identity: .new())
    let layer = try VHDLayer.open(child, parent: parent)
    try write(layer, at: 3 << 12)
    try layer.flush()
    return [fixed.bytes, empty, dynamic.bytes, child.bytes].flatMap { [[1] + $0, [0] + $0.dropLast(512)] }
  }

  static func test(_ input: [UInt8]) throws {
    guard let first = input.first else { return }
    var bytes = Array(input.dropFirst())
    if first & 1 == 1 { fixSums(&bytes) }
    try repair(bytes)
    let file = MemoryFile(bytes)
    let report = try VHDLayer.verify(file)
    require(file.bytes == bytes, "a file that is looked at stays as it is")
    let layer = try open(file)
    require(!report.findings.contains { $0.kind == .unreadable }, "what opens is readable")
    for offset in [0, layer.size - 512, layer.size / 2 & ~511] { try readBack(layer, file, at: max(0, offset)) }
  }

  /// Opens a file, a differencing one on zeros that take the place of its parent.
  private static func open(_ file: MemoryFile, readOnly: Bool = false) throws -> VHDLayer {
    let structure = try VHDStructure(file)
    guard structure.kind == .differencing, let identity = structure.parent?.identity else {
      return try VHDLayer.open(file, readOnly: readOnly)
    }
    let parent = VHDParent(device: MemoryDevice(size: 1 << 16), identity: identity)
    return try VHDLayer.open(file, parent: parent, readOnly: readOnly)
  }

  /// Reads around a place, writes there, and finds that in the file when it is opened anew.
  private static func readBack(_ layer: VHDLayer, _ file: MemoryFile, at offset: Int64) throws {
    _ = try? read(layer, at: offset, count: Int(min(layer.size - offset, 1 << 16)))
    _ = try? layer.extents(at: offset, count: layer.size - offset)
    guard layer.size - offset >= 512 else { return }
    try write(layer, at: offset)
    try layer.flush()
    let expected = [UInt8](repeating: 0x5A, count: 512)
    require((try? read(layer, at: offset, count: 512)) == expected, "what was written is read")
    let again = try? open(MemoryFile(file.bytes))
    require(again != nil, "a file that was written opens")
    if let again { require((try? read(again, at: offset, count: 512)) == expected, "what was flushed is there") }
  }

  /// After all repairs nothing is found that one of them mends.
  private static func repair(_ bytes: [UInt8]) throws {
    let file = MemoryFile(bytes)
    let before = try VHDLayer.repair(file, [.dropBlocks, .dropGarbage])
    guard !before.findings.contains(where: { $0.kind == .unreadable }) else { return }
    let after = try VHDLayer.verify(file)
    let left = after.findings.filter { $0.kind != .bitmapIncomplete && $0.kind != .spaceLeaked }
    require(left.isEmpty, "after a repair of \(before.findings) there is \(left)")
    let opened = Result { try open(file, readOnly: true) }
    if case .failure(let error) = opened { fatalError("a file that was repaired does not open: \(error)") }
  }

  private static func read(_ device: VHDLayer, at offset: Int64, count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    try bytes.withUnsafeMutableBytes { try device.read(into: $0, at: offset) }
    return bytes
  }

  private static func write(_ device: VHDLayer, at offset: Int64) throws {
    try [UInt8](repeating: 0x5A, count: 512).withUnsafeBytes { try device.write($0, at: offset) }
  }

  private static func fixSums(_ bytes: inout [UInt8]) {
    let end = bytes.count - 512
    for (start, length, field) in [(0, 512, 64), (512, 1024, 36), (end, 512, 64)]
    where start >= 0 && bytes.count >= start + length {
      bytes.replaceSubrange(start + field..<start + field + 4, with: [0, 0, 0, 0])
      let sum = ~bytes[start..<start + length].reduce(UInt32(0)) { $0 &+ UInt32($1) }
      bytes.replaceSubrange(start + field..<start + field + 4, with: big(sum))
    }
  }
}
