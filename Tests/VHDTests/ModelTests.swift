import BlockLayers
import Glibc
import Testing
import VHD

/// Random operations on chains, compared with a flat model.
@Suite struct ModelTests {
  let directory = TemporaryDirectory()

  /// A chain of `depth` layers, opened anew with every layer below the top read-only.
  func open(_ depth: Int) throws -> VHDLayer {
    var layer: VHDLayer?
    for index in 0..<depth {
      let isTop = index == depth - 1
      let file = try PosixFile(path: directory.path("\(index)"), mode: isTop ? .readWrite : .read)
      layer = try VHDLayer.open(file, parent: layer.map { VHDParent($0) }, readOnly: !isTop)
    }
    return try #require(layer)
  }

  func change(_ device: any BlockDevice, _ model: inout [UInt8], _ generator: inout SeededGenerator) throws {
    let aligned = Bool.random(using: &generator)
    var at = Int.random(in: 0..<model.count, using: &generator)
    var count = Int.random(in: 1...40000, using: &generator)
    if aligned { (at, count) = (at & ~511, (count + 511) & ~511) }
    count = min(count, model.count - at)
    switch Int.random(in: 0..<10, using: &generator) {
    case 0:
      try device.trim(at: Int64(at), count: Int64(count))
      for index in at..<at + count { model[index] = 0 }
    case 1:
      let flags: WriteFlags = Bool.random(using: &generator) ? .keepAllocated : []
      try device.writeZeroes(at: Int64(at), count: Int64(count), flags: flags)
      for index in at..<at + count { model[index] = 0 }
    case 2: try device.flush()
    case 3:
      #expect(try device.bytes(at: Int64(at), count: count) == Array(model[at..<at + count]))
    default:
      let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
      try device.write(bytes, at: Int64(at))
      model.replaceSubrange(at..<at + count, with: bytes)
    }
  }

  @Test(arguments: [(4096, 1), (32768, 2), (65536, 3), (524288, 4)])
  func `a chain equals a flat model`(blockSize: Int64, seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let size = 1_000_000 / 512 * 512
    var model = [UInt8](repeating: 0, count: size)
    for depth in 1...6 {
      let file = try PosixFile(path: directory.path("\(depth - 1)"), mode: .create)
      if depth == 1 {
        try VHDLayer.createDynamic(file, size: Int64(size), blockSize: blockSize)
      } else {
        let below = try open(depth - 1)
        let parent = VHDParentReference(identity: below.identity, name: "\(depth - 2)", relativePath: "\(depth - 2)")
        try VHDLayer.createDifferencing(file, size: Int64(size), parent: parent, blockSize: blockSize)
      }
      let device = CheckingDevice(try open(depth))
      for _ in 0..<60 { try change(device, &model, &generator) }
      #expect(try device.bytes(at: 0, count: size) == model)
      try device.flush()
      #expect(try open(depth).bytes(at: 0, count: size) == model)
      for extent in try open(depth).extents(at: 0, count: Int64(size)) where extent.readsAsZero {
        #expect(model[Int(extent.offset)..<Int(extent.end)].allSatisfy { $0 == 0 })
      }
      #expect(device.breaches == 0)
    }
    // From the top down, each layer is folded into the one below.
    for depth in (2...6).reversed() {
      let layers = try (0..<depth - 1).reduce(into: [VHDLayer]()) { layers, index in
        let file = try PosixFile(path: directory.path("\(index)"), mode: index == depth - 2 ? .readWrite : .read)
        let parent = layers.last.map { VHDParent($0) }
        layers.append(try VHDLayer.open(file, parent: parent, readOnly: index != depth - 2))
      }
      let target = try #require(layers.last)
      let child = try VHDLayer.open(
        PosixFile(path: directory.path("\(depth - 1)"), mode: .read), parent: target, readOnly: true)
      // Cut off in the middle, then from the beginning again.
      var calls = 0
      #expect(
        try !child.commit(into: target) { _, _ in
          calls += 1
          return calls < 2
        } || calls < 2)
      #expect(try child.commit(into: target))
      #expect(try target.bytes(at: 0, count: size) == model)
      #expect(try open(depth - 1).bytes(at: 0, count: size) == model)
    }
  }

  @Test func `a fixed file equals a flat model`() throws {
    var generator = SeededGenerator(seed: 9)
    let size = 512 * 999
    var model = [UInt8](repeating: 0, count: size)
    try VHDLayer.createFixed(PosixFile(path: directory.path("0"), mode: .create), size: Int64(size))
    let device = CheckingDevice(try open(1))
    for _ in 0..<100 { try change(device, &model, &generator) }
    #expect(try device.bytes(at: 0, count: size) == model)
    try device.flush()
    #expect(try open(1).bytes(at: 0, count: size) == model)
  }

  @Test func `parallel writers do not disturb each other`() throws {
    let size = 8 << 20
    try VHDLayer.createDynamic(PosixFile(path: directory.path("0"), mode: .create), size: Int64(size), blockSize: 65536)
    let base = try open(1)
    try VHDLayer.createDifferencing(
      PosixFile(path: directory.path("1"), mode: .create), size: Int64(size),
      parent: .init(identity: base.identity, name: "0"), blockSize: 65536)
    let device = try open(2)
    let threads = ThreadGroup()
    for thread in 0..<4 {
      threads.start {
        for index in stride(from: thread, to: size / 1024, by: 4) {
          try? device.write([UInt8](repeating: UInt8(thread + 1), count: 1024), at: Int64(index) * 1024)
          if index % 512 == thread { try? device.flush() }
        }
      }
    }
    threads.join()
    try device.flush()
    let content = try open(2).bytes(at: 0, count: size)
    #expect((0..<size / 1024).allSatisfy { content[$0 * 1024] == UInt8($0 % 4 + 1) })
  }
}
