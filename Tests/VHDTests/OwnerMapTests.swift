import BlockLayers
import Glibc
import Primitives
import Synchronization
import Testing

@testable import VHD

/// What is known of where the layers of a chain hold what.
@Suite(.timeLimit(.minutes(1))) struct OwnerMapTests {
  private let directory = TemporaryDirectory()
  private static let blockSize: Int64 = 16384
  private static let blocks = 24
  private static let depth = 6
  /// The last block, and the last cell of the disk, are cut off.
  private static let size = blockSize * Int64(blocks) - 4096 - 1536

  /// Makes the files of a chain whose layers grow upwards, and what it reads as.
  ///
  /// - Parameters:
  ///   - isFixed: whether the base is a fixed file.
  ///   - isTorn: whether bitmaps have bits of a cell set and others not, as other programs write them; the content is unknown
  ///     then.
  private func makeChain(
    _ random: inout SeededGenerator, isFixed: Bool = false, isTorn: Bool = false
  ) throws -> [UInt8] {
    var model: [UInt8] = []
    var below: VHDLayer?
    for number in 0..<Self.depth {
      let file = try PosixFile(path: directory.path("\(number)"), mode: .create)
      let size = number > 2 ? Self.size : Self.size - Int64(3 - number) * (Self.blockSize + 512)
      model += [UInt8](repeating: 0, count: Int(size) - model.count)
      if let below {
        let parent = VHDParentReference(identity: below.identity, name: "\(number - 1)", relativePath: "\(number - 1)")
        try VHDLayer.createDifferencing(file, size: size, parent: parent, blockSize: Self.blockSize)
      } else if isFixed {
        try VHDLayer.createFixed(file, size: size)
      } else {
        try VHDLayer.createDynamic(file, size: size, blockSize: Self.blockSize)
      }
      let layer = try VHDLayer.open(file, parent: below.map { VHDParent($0) })
      try fill(layer, &model, &random)
      layer.close()
      if isTorn, number > 0 { try tear("\(number)", &random) }
      below = try open("\(number)", on: below)
    }
    return model
  }

  private func fill(_ layer: VHDLayer, _ model: inout [UInt8], _ random: inout SeededGenerator) throws {
    for _ in 0..<18 {
      // Cells, runs of them, and whole blocks.
      let count = Bool.random(using: &random) ? 4096 : 512 * Int.random(in: 1...70, using: &random)
      let at = Int.random(in: 0..<model.count / 4096, using: &random) * 4096
      let bytes = [UInt8](repeating: UInt8.random(in: 1...255, using: &random), count: min(count, model.count - at))
      try layer.write(bytes, at: Int64(at))
      model.replaceSubrange(at..<at + bytes.count, with: bytes)
    }
    try layer.flush()
  }

  /// Takes some bits out of the bitmaps of a file.
  private func tear(_ name: String, _ random: inout SeededGenerator) throws {
    let file = try PosixFile(path: directory.path(name), mode: .readWrite)
    let structure = try VHDStructure(file)
    var entries: [UInt32] = []
    try structure.forEachEntry(#require(structure.header), in: file) { _, entry in entries.append(entry) }
    for entry in entries {
      for cell in 0..<Int64(4) where Int.random(in: 0..<3, using: &random) == 0 {
        let place = Int64(entry) * 512 + cell
        let bits = try file.bytes(at: place, count: 1)
        try file.write([bits[0] & UInt8.random(in: 0...255, using: &random)], at: place)
      }
    }
  }

  private func open(
    _ name: String, on parent: VHDLayer?, wrap: (PosixFile) -> any ByteFile = { $0 }
  ) throws -> VHDLayer {
    let file = wrap(try PosixFile(path: directory.path(name), mode: .read))
    return try VHDLayer.open(file, parent: parent.map { VHDParent($0) }, readOnly: true)
  }

  private func openChain(wrap: (Int, PosixFile) -> any ByteFile = { $1 }) throws -> VHDLayer {
    var top: VHDLayer?
    for number in 0..<Self.depth { top = try open("\(number)", on: top) { wrap(number, $0) } }
    return try #require(top)
  }

  /// What the layers hold, found step by step.
  private func stepwise(_ layer: VHDLayer) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Int(layer.size))
    try bytes.withUnsafeMutableBytes { try layer.read(into: $0, at: 0, stepwise: true) }
    return bytes
  }

  private static func range(_ size: Int, _ random: inout SeededGenerator) -> Range<Int> {
    let start = Int.random(in: 0..<size, using: &random)
    return start..<min(size, start + Int.random(in: 1...50_000, using: &random))
  }

  @Test(arguments: [(1, false, false), (2, true, false), (3, false, true), (4, true, true)] as [(UInt64, Bool, Bool)])
  func `a chain reads as it does step by step`(seed: UInt64, isFixed: Bool, isTorn: Bool) throws {
    var random = SeededGenerator(seed: seed)
    let model = try makeChain(&random, isFixed: isFixed, isTorn: isTorn)
    let expected = try stepwise(try openChain())
    if !isTorn { #expect(expected == model) }
    let chain = try openChain()
    for _ in 0..<200 {
      let range = Self.range(expected.count, &random)
      #expect(try chain.bytes(at: Int64(range.lowerBound), count: range.count) == Array(expected[range]))
    }
  }

  @Test func `blocks that share a place are told apart by readers at the same time`() throws {
    var random = SeededGenerator(seed: 5)
    let expected = try makeChain(&random)
    let chain = try openChain()
    let map = try #require(OwnerMap(OwnerMap.run(from: chain), places: 2))
    let wrong = Atomic<Int>(0)
    let threads = ThreadGroup()
    for reader in 0..<4 {
      threads.start {
        var random = SeededGenerator(seed: UInt64(reader) + 100)
        for _ in 0..<1000 {
          let cell = Int.random(in: 0..<expected.count / 4096, using: &random) * 4096
          var bytes = [UInt8](repeating: 0, count: 4096)
          try? bytes.withUnsafeMutableBytes { try map.read(into: $0, at: Int64(cell)) }
          if bytes != Array(expected[cell..<cell + 4096]) { wrong.add(1, ordering: .relaxed) }
        }
      }
    }
    threads.join()
    #expect(wrong.load(ordering: .relaxed) == 0)
  }

  @Test func `what is written on top is read at once`() throws {
    var random = SeededGenerator(seed: 6)
    var model = try makeChain(&random)
    let below = try openChain()
    let file = try PosixFile(path: directory.path("top"), mode: .create)
    let parent = VHDParentReference(identity: below.identity, name: "5")
    try VHDLayer.createDifferencing(file, size: below.size, parent: parent, blockSize: Self.blockSize)
    let top = try VHDLayer.open(file, parent: below)
    for _ in 0..<200 {
      let range = Self.range(model.count, &random)
      if Bool.random(using: &random) {
        let bytes = [UInt8](repeating: UInt8.random(in: 0...255, using: &random), count: range.count)
        try top.write(bytes, at: Int64(range.lowerBound))
        model.replaceSubrange(range, with: bytes)
      }
      #expect(try top.bytes(at: Int64(range.lowerBound), count: range.count) == Array(model[range]))
    }
  }

  @Test func `a block that is known is read in one call, and no deeper layer is asked than needed`() throws {
    var random = SeededGenerator(seed: 7)
    _ = try makeChain(&random)
    let bytes = [UInt8](repeating: 9, count: 4096)
    let second = try VHDLayer.open(
      PosixFile(path: directory.path("\(Self.depth - 2)"), mode: .readWrite), parent: open(through: Self.depth - 3))
    try second.write(bytes, at: 4096)
    try second.flush()
    second.close()
    let counts = (0..<Self.depth).map { _ in ReadCount() }
    let chain = try openChain { CountedFile($1, counts[$0]) }
    let map = try #require(OwnerMap(OwnerMap.run(from: chain.parent as? VHDLayer)))
    for count in counts { count.reset() }
    func read() throws {
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
      defer { buffer.deallocate() }
      try map.read(into: buffer, at: 4096)
      #expect(buffer.allSatisfy { $0 == 9 })
    }
    try read()
    #expect(counts[..<(Self.depth - 2)].allSatisfy { $0.value == 0 })
    for count in counts { count.reset() }
    try read()
    #expect(counts.map(\.value) == [0, 0, 0, 0, 1, 0])
  }

  private func open(through last: Int) throws -> VHDLayer {
    var top: VHDLayer?
    for number in 0...last { top = try open("\(number)", on: top) }
    return try #require(top)
  }

  @Test func `a bitmap that cannot be read fails the read and is tried again`() throws {
    var random = SeededGenerator(seed: 8)
    let model = try makeChain(&random)
    let plan = FaultPlan()
    let chain = try openChain { number, file in number == 2 ? FaultFile(file, plan) as any ByteFile : file }
    plan.add(.init(.read, .error(EIO), times: 1))
    #expect(throws: BlockError.self) { try chain.bytes(at: 0, count: model.count) }
    #expect(try chain.bytes(at: 0, count: model.count) == model)
  }
}

/// How often something was read.
private final class ReadCount: Sendable {
  private let count = Atomic<Int>(0)
  var value: Int { count.load(ordering: .relaxed) }
  func add() { count.add(1, ordering: .relaxed) }
  func reset() { count.store(0, ordering: .relaxed) }
}

/// A file whose reads are counted.
private final class CountedFile: ByteFile {
  private let file: PosixFile
  private let count: ReadCount

  init(_ file: PosixFile, _ count: ReadCount) { (self.file, self.count) = (file, count) }

  var name: String { file.name }
  func size() throws(BlockError) -> Int64 { try file.size() }
  func close() { file.close() }
  func flush() throws(BlockError) { try file.flush() }
  func truncate(to size: Int64) throws(BlockError) { try file.truncate(to: size) }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    count.add()
    try file.read(into: buffer, at: offset)
  }

  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    try file.write(buffer, at: offset)
  }

  func allocate(at offset: Int64, count: Int64) throws(BlockError) { try file.allocate(at: offset, count: count) }
  func punch(at offset: Int64, count: Int64) throws(BlockError) { try file.punch(at: offset, count: count) }
}
