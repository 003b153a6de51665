import BlockLayers
import Testing
import VHD

@Suite struct GrowTests {
  let directory = TemporaryDirectory()
  let oracle = OracleTests()

  @Test(arguments: [65536, 512 << 10, 2 << 20] as [Int64])
  func `a grown file holds what it held, and zeros behind`(blockSize: Int64) throws {
    let file = try PosixFile(path: directory.path("a"), mode: .create)
    let old: Int64 = 3_000_320
    try VHDLayer.createDynamic(file, size: old, blockSize: blockSize)
    let layer = try VHDLayer.open(file)
    let content = try oracle.random(layer, seed: 1)
    try layer.flush()
    for size in [old, old + 512, 9 << 20, 12 << 20] as [Int64] {
      try VHDLayer.grow(file, to: size)
      let grown = try VHDLayer.open(file)
      #expect(grown.size == size)
      #expect(grown.identity == layer.identity)
      let found = try grown.bytes(at: 0, count: Int(size))
      #expect(Array(found[..<content.count]) == content)
      #expect(found[content.count...].isZero)
      #expect(try VHDLayer.verify(file).isSound)
    }
    let grown = try VHDLayer.open(file)
    try grown.write([7], at: (12 << 20) - 1)
    try grown.flush()
    #expect(try VHDLayer.open(file).bytes(at: (12 << 20) - 1, count: 1) == [7])
  }

  @Test func `a grown fixed file holds zeros where its footer was`() throws {
    let file = try PosixFile(path: directory.path("a"), mode: .create)
    try VHDLayer.createFixed(file, size: 1 << 20)
    let content = try oracle.random(VHDLayer.open(file), seed: 2)
    try VHDLayer.grow(file, to: 2 << 20)
    let found = try VHDLayer.open(file).bytes(at: 0, count: 2 << 20)
    #expect(Array(found[..<(1 << 20)]) == content)
    #expect(found[(1 << 20)...].isZero)
  }

  @Test func `a grown child reads zeros behind its parent`() throws {
    let base = PowerCutFile()
    try VHDLayer.createDynamic(base, size: 1 << 20, blockSize: 65536)
    let parent = try VHDLayer.open(base)
    let content = try oracle.random(parent, seed: 3)
    let file = PowerCutFile()
    try VHDLayer.createDifferencing(
      file, size: 1 << 20, parent: .init(identity: parent.identity, name: "base"), blockSize: 65536)
    try VHDLayer.grow(file, to: 3 << 20)
    let child = try VHDLayer.open(file, parent: parent)
    let found = try child.bytes(at: 0, count: 3 << 20)
    #expect(Array(found[..<content.count]) == content)
    #expect(found[content.count...].isZero)
    // A write that begins in the parent's range and ends behind it.
    try child.write([UInt8](repeating: 9, count: 700), at: (1 << 20) - 300)
    #expect(try child.bytes(at: (1 << 20) - 300, count: 700) == [UInt8](repeating: 9, count: 700))
    #expect(try child.bytes(at: (1 << 20) + 400, count: 112).allSatisfy { $0 == 0 })
  }

  @Test func `a disk is not made smaller, nor larger than the format allows`() throws {
    let file = PowerCutFile()
    try VHDLayer.createDynamic(file, size: 1 << 20)
    let smaller = #expect(throws: BlockError.self) { try VHDLayer.grow(file, to: 512) }
    #expect(smaller?.kind == .misuse)
    #expect(smaller?.place.contains("smaller") == true)
    let larger = #expect(throws: BlockError.self) { try VHDLayer.grow(file, to: VHDLayer.largestSize + 512) }
    #expect(larger?.kind == .tooLarge)
    #expect(try VHDLayer.open(file).size == 1 << 20)
  }

  @Test func `qemu-img reads a grown file`() throws {
    let file = try PosixFile(path: directory.path("a.vhd"), mode: .create)
    try VHDLayer.createDynamic(file, size: 5 << 20, blockSize: 512 << 10)
    _ = try oracle.random(VHDLayer.open(file), seed: 4)
    try VHDLayer.grow(file, to: 20 << 20)
    let model = try oracle.random(VHDLayer.open(file), seed: 5)
    try PosixFile(path: directory.path("a.raw"), mode: .create).write(model, at: 0)
    let compare = try run(
      "qemu-img", "compare", "-f", "vpc", "-F", "raw", directory.path("a.vhd"), directory.path("a.raw"))
    #expect(compare.status == 0, "\(compare.text)")
  }

  @Test func `a file that qemu-img made grows`() throws {
    let made = try run(
      "qemu-img", "create", "-f", "vpc", "-o", "subformat=dynamic,force_size=on", directory.path("a.vhd"), "8M")
    #expect(made.status == 0, "\(made.text)")
    let file = try PosixFile(path: directory.path("a.vhd"), mode: .readWrite)
    let model = try oracle.random(VHDLayer.open(file), seed: 6)
    try VHDLayer.grow(file, to: 20 << 20)
    let found = try VHDLayer.open(file).bytes(at: 0, count: 20 << 20)
    #expect(Array(found[..<model.count]) == model)
    try PosixFile(path: directory.path("a.raw"), mode: .create).write(found, at: 0)
    let compare = try run(
      "qemu-img", "compare", "-f", "vpc", "-F", "raw", directory.path("a.vhd"), directory.path("a.raw"))
    #expect(compare.status == 0, "\(compare.text)")
  }

  @Test func `libvhdi reads a grown child`() throws {
    let base = try PosixFile(path: directory.path("0.vhd"), mode: .create)
    try VHDLayer.createDynamic(base, size: 2 << 20)
    let parent = try VHDLayer.open(base)
    _ = try oracle.random(parent, seed: 7)
    try parent.flush()
    let file = try PosixFile(path: directory.path("1.vhd"), mode: .create)
    try VHDLayer.createDifferencing(
      file, size: 2 << 20, parent: .init(identity: parent.identity, name: "0.vhd", relativePath: "0.vhd"))
    try VHDLayer.grow(file, to: 9 << 20)
    let child = try VHDLayer.open(file, parent: parent)
    // libvhdi reads behind the parent's end as the parent's end: all of the child is written.
    try child.write([UInt8](repeating: 3, count: 7 << 20), at: 2 << 20)
    let model = try oracle.random(child, seed: 8)
    try child.flush()
    let files = [directory.path("1.vhd"), directory.path("0.vhd")]
    let output = try run(["python3", "-c", OracleTests.reader] + files + [directory.path("out.raw")])
    try #require(output.status == 0, "python3 and libvhdi1 are needed (apt-get install libvhdi1): \(output.text)")
    let found = try directory.content("out.raw")
    let wrong = stride(from: 0, to: model.count, by: 512).filter {
      found.count != model.count || found[$0..<$0 + 512] != model[$0..<$0 + 512]
    }
    #expect(wrong.isEmpty, "sectors \(wrong.map { $0 / 512 })")
  }

  @Test(arguments: [false, true]) func `a file that is cut off while it grows has one size or the other`(
    isChild: Bool
  ) throws {
    var generator = SeededGenerator(seed: PowerCutTests.seed)
    let base = PowerCutFile()
    try VHDLayer.createDynamic(base, size: 1 << 18, blockSize: 8192)
    let parent = try VHDLayer.open(base)
    let made = PowerCutFile()
    if isChild {
      let reference = VHDParentReference(identity: parent.identity, name: "base")
      try VHDLayer.createDifferencing(made, size: 1 << 18, parent: reference, blockSize: 8192)
    } else {
      try VHDLayer.createDynamic(made, size: 1 << 18, blockSize: 8192)
    }
    let content = try oracle.random(VHDLayer.open(made, parent: isChild ? VHDParent(parent) : nil), seed: 9)
    for round in 0..<max(PowerCutTests.states / 40, 2) {
      // Into a table that has room, and into a new one.
      let size: Int64 = round % 2 == 0 ? 1 << 20 : 1 << 19
      let file = PowerCutFile(made.bytes)
      try VHDLayer.grow(file, to: size)
      for _ in 0..<20 {
        let moment = Int.random(in: 0...file.now, using: &generator)
        let crashed = PowerCutFile(file.state(at: moment, using: &generator))
        let comment = Comment(rawValue: "FTVS_SEED=\(PowerCutTests.seed), round \(round), moment \(moment)")
        let reopened = try VHDLayer.open(crashed, parent: isChild ? VHDParent(parent) : nil)
        #expect([1 << 18, size].contains(reopened.size), comment)
        let found = try reopened.bytes(at: 0, count: Int(reopened.size))
        #expect(Array(found[..<content.count]) == content, comment)
        #expect(found[content.count...].isZero, comment)
        try VHDLayer.grow(crashed, to: size)
        let again = try VHDLayer.open(crashed, parent: isChild ? VHDParent(parent) : nil)
        #expect(again.size == size, comment)
        #expect(try Array(again.bytes(at: 0, count: Int(size))[..<content.count]) == content, comment)
      }
    }
  }

  /// Long chains whose layers differ in size.
  @Test func `a chain of 64 layers that grow equals a flat model`() throws {
    var generator = SeededGenerator(seed: PowerCutTests.seed)
    var files: [PowerCutFile] = []
    var model = [UInt8](repeating: 0, count: 128 << 10)
    func open(_ count: Int) throws -> VHDLayer {
      var layer: VHDLayer?
      for index in 0..<count {
        layer = try VHDLayer.open(
          files[index], parent: layer.map { VHDParent($0) }, readOnly: index < count - 1)
      }
      return try #require(layer)
    }
    for depth in 1...64 {
      let file = PowerCutFile()
      if depth == 1 {
        try VHDLayer.createDynamic(file, size: Int64(model.count), blockSize: 16384)
      } else {
        let below = try open(depth - 1)
        try VHDLayer.createDifferencing(
          file, size: below.size, parent: .init(identity: below.identity, name: "\(depth)"), blockSize: 16384)
      }
      files.append(file)
      if Int.random(in: 0..<4, using: &generator) == 0 {
        let size = model.count + Int.random(in: 1...40, using: &generator) * 512
        try VHDLayer.grow(file, to: Int64(size))
        model += [UInt8](repeating: 0, count: size - model.count)
      }
      let device = try open(depth)
      for _ in 0..<4 { try ModelTests().change(device, &model, &generator) }
      try device.flush()
    }
    let comment = Comment(rawValue: "FTVS_SEED=\(PowerCutTests.seed)")
    #expect(try open(64).bytes(at: 0, count: model.count) == model, comment)
  }
}

extension ArraySlice<UInt8> {
  var isZero: Bool { withUnsafeBytes { BlockCopy.isZero($0) } }
}
