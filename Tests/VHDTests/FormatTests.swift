import BlockLayers
import Testing
import VHD

@Suite struct FormatTests {
  let directory = TemporaryDirectory()

  func sample(_ size: Int64 = 1 << 20) throws -> PowerCutFile {
    let file = PowerCutFile()
    try VHDLayer.createDynamic(file, size: size, blockSize: 65536)
    let layer = try VHDLayer.open(file)
    try layer.write([1, 2, 3], at: 70000)
    try layer.flush()
    return file
  }

  @Test func `more than 2040 GiB is refused and 2040 GiB are not`() throws {
    let error = #expect(throws: BlockError.self) {
      try VHDLayer.createDynamic(PowerCutFile(), size: VHDLayer.largestSize + 512)
    }
    #expect(error?.kind == .tooLarge)
    #expect(error?.place.contains("2040 GiB") == true)
    let file = try PosixFile(path: directory.path("large"), mode: .create)
    try VHDLayer.createDynamic(file, size: VHDLayer.largestSize)
    let layer = try VHDLayer.open(file)
    try layer.write([5], at: VHDLayer.largestSize - 1)
    #expect(try layer.bytes(at: VHDLayer.largestSize - 1, count: 1) == [5])
  }

  @Test func `a size that is no multiple of 512 is refused`() {
    for size in [0, -512, 1000] as [Int64] {
      #expect(throws: BlockError.self) { try VHDLayer.createDynamic(PowerCutFile(), size: size) }
    }
  }

  @Test func `a damaged footer is replaced by the copy at the beginning`() throws {
    var bytes = try sample().bytes
    bytes[bytes.count - 100] ^= 1
    let file = PowerCutFile(bytes)
    #expect(try VHDStructure(file).usedCopy)
    let layer = try VHDLayer.open(file)
    #expect(try layer.bytes(at: 70000, count: 3) == [1, 2, 3])
    #expect(try !VHDStructure(file).usedCopy)
  }

  @Test func `a damaged copy at the beginning does not matter`() throws {
    var bytes = try sample().bytes
    bytes[100] ^= 1
    #expect(try VHDLayer.open(PowerCutFile(bytes)).bytes(at: 70000, count: 3) == [1, 2, 3])
  }

  @Test func `garbage behind the end is cut off when the file is written`() throws {
    let file = PowerCutFile(try sample().bytes + [UInt8](repeating: 0xa5, count: 5000))
    #expect(try VHDLayer.open(file, readOnly: true).bytes(at: 70000, count: 3) == [1, 2, 3])
    let layer = try VHDLayer.open(file)
    try layer.write([9], at: 200_000)
    #expect(try layer.bytes(at: 200_001, count: 4000).allSatisfy { $0 == 0 })
  }

  @Test func `a child is refused on another parent`() throws {
    let base = try VHDLayer.open(sample())
    let other = try VHDLayer.open(sample())
    let file = PowerCutFile()
    let reference = VHDParentReference(
      identity: base.identity, name: "base.vhd", relativePath: "../library/base.vhd", absolutePath: "/x/base.vhd")
    try VHDLayer.createDifferencing(file, size: base.size, parent: reference)
    #expect(try VHDStructure(file).parent == reference)
    #expect(try VHDLayer.open(file, parent: base).bytes(at: 70000, count: 3) == [1, 2, 3])
    let late = VHDIdentity(uuid: base.identity.uuid, timeStamp: base.identity.timeStamp + 1)
    for parent in [nil, VHDParent(other), VHDParent(device: base, identity: late)] {
      let error = #expect(throws: BlockError.self) { try VHDLayer.open(file, parent: parent) }
      #expect(error?.kind == .parentMismatch)
    }
  }

  @Test func `the parent is never written by its child`() throws {
    let base = try sample()
    let before = base.bytes
    let file = PowerCutFile()
    let parent = try VHDLayer.open(base, readOnly: true)
    try VHDLayer.createDifferencing(file, size: parent.size, parent: .init(identity: parent.identity, name: "b"))
    let child = try VHDLayer.open(file, parent: parent)
    try child.write([UInt8](repeating: 4, count: 100_000), at: 1000)
    try child.trim(at: 60000, count: 100_000)
    try child.flush()
    #expect(base.bytes == before)
    #expect(throws: BlockError.self) { try parent.write([1], at: 0) }
  }

  @Test func `mutated files never trap`() throws {
    let original = try sample().bytes
    var generator = SeededGenerator(seed: 3)
    var opened = 0
    for _ in 0..<600 {
      var bytes = original
      for _ in 0..<Int.random(in: 1...6, using: &generator) {
        let metadata = Bool.random(using: &generator) ? 8192 : bytes.count
        bytes[Int.random(in: 0..<metadata, using: &generator)] =
          [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &generator) ?? 0
      }
      if Bool.random(using: &generator) { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator)) }
      // A wrong sum hides everything behind it: set it right.
      if Bool.random(using: &generator) { fixSums(&bytes) }
      guard let layer = try? VHDLayer.open(PowerCutFile(bytes)) else { continue }
      opened += 1
      let size = min(layer.size, 1 << 20)
      _ = try? layer.bytes(at: 0, count: Int(size))
      try? layer.write([1, 2, 3], at: layer.size - 3)
      _ = try? layer.extents(at: 0, count: size)
      try? layer.flush()
    }
    #expect(opened > 30)
  }

  func fixSums(_ bytes: inout [UInt8]) {
    for (start, length, field) in [(0, 512, 64), (512, 1024, 36)] where bytes.count >= start + length {
      for index in 0..<4 { bytes[start + field + index] = 0 }
      let sum = ~bytes[start..<start + length].reduce(UInt32(0)) { $0 &+ UInt32($1) }
      for index in 0..<4 { bytes[start + field + index] = UInt8(truncatingIfNeeded: sum >> ((3 - index) * 8)) }
    }
  }

  @Test func `a table that is said to go on behind the file is refused`() throws {
    var bytes = try sample().bytes
    bytes.replaceSubrange(512 + 28..<512 + 32, with: [0x05, 0, 0, 0x10])
    fixSums(&bytes)
    for readOnly in [false, true] {
      let error = #expect(throws: BlockError.self) { try VHDLayer.open(PowerCutFile(bytes), readOnly: readOnly) }
      #expect(error?.kind == .damaged)
    }
  }

  @Test func `a table that lies under the footer at the end is refused`() throws {
    let original = try sample().bytes
    // A table of 16 entries, which begins in the footer, and the page before it.
    for (length, opens) in [(4096 + 64 + 512, true), (4096 + 64 + 511, false), (4096 + 512, false)] {
      let bytes = Array(original.prefix(length - 512)) + original.suffix(512)
      let isRead = (try? VHDStructure(PowerCutFile(bytes))) != nil
      #expect(isRead == opens, "\(length)")
    }
  }

  @Test func `a file with a path of its parent behind its end is read, not written`() throws {
    let original = try sample().bytes
    for (offset, opens) in [(original.count - 512, true), (original.count, false), (original.count + 65536, false)] {
      var bytes = original
      let locator =
        Array("W2ku".utf8) + [0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0]
        + (0..<8).map { UInt8(truncatingIfNeeded: offset >> (56 - 8 * $0)) }
      bytes.replaceSubrange(512 + 576..<512 + 600, with: locator)
      fixSums(&bytes)
      #expect(try VHDLayer.open(PowerCutFile(bytes), readOnly: true).bytes(at: 70000, count: 3) == [1, 2, 3])
      let file = PowerCutFile(bytes)
      guard opens else {
        let error = #expect(throws: BlockError.self) { try VHDLayer.open(file) }
        #expect(error?.kind == .damaged)
        continue
      }
      // It opens again after a block was added.
      let layer = try VHDLayer.open(file)
      try layer.write([9], at: 200_000)
      try layer.flush()
      #expect(try VHDLayer.open(PowerCutFile(file.bytes)).bytes(at: 200_000, count: 1) == [9])
    }
  }

  @Test func `blocks that overlap are refused`() throws {
    let file = PowerCutFile()
    try VHDLayer.createDynamic(file, size: 1 << 20, blockSize: 65536)
    let layer = try VHDLayer.open(file)
    try layer.write([1], at: 0)
    try layer.flush()
    var bytes = file.bytes
    // The second entry of the table becomes the first one.
    bytes.replaceSubrange(4100..<4104, with: bytes[4096..<4100])
    let error = #expect(throws: BlockError.self) { try VHDLayer.open(PowerCutFile(bytes)) }
    #expect(error?.kind == .damaged)
  }

  @Test func `one flush serves all who wait for it`() throws {
    let plan = FaultPlan()
    plan.add(.init(.flush, .delay(microseconds: 20000)))
    let file = try sample()
    let layer = try VHDLayer.open(FaultFile(file, plan))
    let before = file.now
    let threads = ThreadGroup()
    for _ in 0..<16 { threads.start { try? layer.flush() } }
    threads.join()
    #expect(file.now - before < 16)
  }

  @Test func `a flush that failed is not forgotten`() throws {
    let plan = FaultPlan()
    let layer = try VHDLayer.open(FaultFile(sample(), plan))
    plan.add(.init(.flush, .error(5), times: 1))
    #expect(throws: BlockError.self) { try layer.flush() }
    #expect(throws: BlockError.self) { try layer.flush() }
  }
}
