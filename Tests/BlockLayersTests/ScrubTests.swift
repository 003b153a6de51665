import Glibc
import Primitives
import Synchronization
import Testing

@testable import BlockLayers

@Suite struct ScrubTests {
  private struct Legs {
    let data: [PowerCutFile]
    let intents = LegID.allCases.map { _ in PowerCutFile() }
    let sums = LegID.allCases.map { _ in PowerCutFile() }

    init(size: Int = 6 << 20) {
      data = LegID.allCases.map { _ in PowerCutFile([UInt8](repeating: 0, count: size)) }
    }

    func leg(_ id: LegID, file: (any ByteFile)? = nil) -> MirroredFile.Leg {
      let index = id == .io0 ? 0 : 1
      return MirroredFile.Leg(
        id: id, file: Unclosed(file ?? data[index]), intent: IntentFile(Unclosed(intents[index])),
        sums: SumFile(Unclosed(sums[index])))
    }

    func open(_ ids: [LegID] = LegID.allCases, isNew: Bool = false) throws -> MirroredFile {
      try MirroredFile(name: "m", legs: ids.map { leg($0) }, isNew: isNew) { _, _ in }
    }

    var areEqual: Bool { BlockLayersTests.areEqual(data[0].bytes, data[1].bytes) }

    /// A file of 6 MiB that was scrubbed.
    func sealed() throws -> MirroredFile {
      let mirror = try open(isNew: true)
      for at: Int64 in [0, 2 << 20, 3 << 20, 5 << 20, (6 << 20) - 8192] {
        try mirror.write([UInt8](repeating: UInt8(at >> 20) + 1, count: 8192), at: at)
      }
      try mirror.coolDown(least: 10)
      let report = try #require(try mirror.scrub())
      #expect(report.isClean && report.sealedBytes == 6 << 20 && report.skippedBytes == 0)
      return mirror
    }

    func flip(_ index: Int, at offset: Int) throws {
      try data[index].write([data[index].bytes[offset] ^ 4], at: Int64(offset))
    }
  }

  @Test(arguments: [0, 1])
  func `a bit that flipped on one leg is found and healed from the other, whichever it is`(_ index: Int) throws {
    let legs = Legs()
    let mirror = try legs.sealed()
    for offset in [0, 4095, 4096, 3 << 20, (6 << 20) - 1] { try legs.flip(index, at: offset) }
    let report = try #require(try mirror.scrub())
    #expect(report.repairedBlocks == [LegID.allCases[index]: 4])
    #expect(report.undecidedBlocks == 0 && report.lostBlocks == 0 && report.checkedBytes == 6 << 20)
    #expect(legs.areEqual)
    #expect(try #require(try mirror.scrub()).isClean)
  }

  @Test(arguments: [0, 1])
  func `what was healed stays so when the power fails, or the wrong leg might be taken as right later`(
    _ index: Int
  ) throws {
    let legs = Legs()
    let mirror = try legs.sealed()
    try legs.flip(index, at: 5000)
    #expect(try #require(try mirror.scrub()).repairedBlocks == [LegID.allCases[index]: 1])
    var generator = SeededGenerator(seed: 1)
    for _ in 0..<10 {
      let state = legs.data[index].state(at: legs.data[index].now, using: &generator)
      #expect(state[5000] == legs.data[1 - index].bytes[5000])
    }
  }

  @Test func `it is found by the next instance, too`() throws {
    let legs = Legs()
    try legs.sealed().close()
    try legs.flip(0, at: 5 << 20)
    let report = try #require(try legs.open().scrub())
    #expect(report.repairedBlocks == [.io0: 1])
    #expect(report.sealedBytes == 0)
    #expect(legs.areEqual)
  }

  @Test func `a block that is wrong on both legs is reported and left alone`() throws {
    let legs = Legs()
    let mirror = try legs.sealed()
    try legs.flip(0, at: 9000)
    try legs.flip(1, at: 9001)
    let before = legs.data.map(\.bytes)
    let report = try #require(try mirror.scrub())
    #expect(report.lostBlocks == 1 && report.repairedBlocks.isEmpty)
    #expect(areEqual(before[0], legs.data[0].bytes) && areEqual(before[1], legs.data[1].bytes))
    // The same flip on both is one that both legs agree on.
    try legs.flip(0, at: 9001)
    try legs.flip(1, at: 9000)
    #expect(try #require(try mirror.scrub()).lostBlocks == 1)
  }

  @Test func `an unreadable block is written again from the other leg`() throws {
    let legs = Legs()
    try legs.sealed().close()
    let bad = BadBlockFile(legs.data[1], at: 2 << 20)
    let mirror = try MirroredFile(name: "m", legs: [legs.leg(.io0), legs.leg(.io1, file: bad)]) { _, _ in }
    #expect(try #require(try mirror.scrub()).repairedBlocks == [.io1: 1])
    #expect(!bad.isBad)
    #expect(try #require(try mirror.scrub()).isClean)
  }

  @Test func `where nothing says which leg is right the one that is read is`() throws {
    let legs = Legs()
    let mirror = try legs.open(isNew: true)
    try mirror.write([UInt8](repeating: 1, count: 80_000), at: 0)
    try mirror.coolDown(least: 10)
    try legs.flip(1, at: 70_000)
    let report = try #require(try mirror.scrub())
    #expect(report.undecidedBlocks == 1 && report.repairedBlocks.isEmpty)
    #expect(legs.areEqual && legs.data[0].bytes[69_000...71_000].allSatisfy { $0 == 1 })
  }

  @Test func `what was written since is never taken for damage`() throws {
    let legs = Legs()
    let mirror = try legs.sealed()
    try mirror.write([1, 2, 3], at: 100)
    var report = try #require(try mirror.scrub())
    #expect(report.isClean && report.skippedBytes == 4 << 20)
    try mirror.coolDown(least: 10)
    report = try #require(try mirror.scrub())
    #expect(report.isClean && report.sealedBytes == 4 << 20)
    try mirror.truncate(to: (6 << 20) - 5000)
    try mirror.truncate(to: (6 << 20) + 5000)
    mirror.close()
    report = try #require(try legs.open().scrub())
    #expect(report.isClean && report.checkedBytes == (6 << 20) + 5000)
    #expect(legs.data[0].bytes[100...102] == [1, 2, 3])
  }

  @Test func `what was hot and never written keeps its checksums`() throws {
    let legs = Legs(size: 16 << 20)
    let mirror = try legs.open(isNew: true)
    #expect(try #require(try mirror.scrub()).sealedBytes == 16 << 20)
    for extent: Int64 in 0...2 { try mirror.write([1], at: extent * IntentRecord.extentBytes) }
    #expect(mirror.hot.record.hot.all == [0, 1, 2, 3])
    try mirror.coolDown(least: 10)
    #expect(mirror.hot.record.hot.isEmpty)
    #expect(try #require(try mirror.scrub()).sealedBytes == 12 << 20)
  }

  @Test(arguments: [true, false])
  func `a leg that was away brings no old checksums back`(_ isKnown: Bool) throws {
    let legs = Legs()
    try legs.sealed().close()
    let alone = try legs.open([.io0])
    try alone.write([9, 9, 9], at: 5000)
    if !isKnown { try IntentFile(legs.intents[1]).write(IntentRecord(counter: 99, identity: .random())) }
    try alone.attach(legs.leg(.io1))
    #expect(try alone.resync(.io1))
    #expect(alone.setInStep(.io1))
    alone.close()
    let mirror = try legs.open()
    let report = try #require(try mirror.scrub())
    #expect(report.isClean && report.skippedBytes == 0)
    #expect(legs.areEqual && legs.data[1].bytes[5000...5002] == [9, 9, 9])
  }

  @Test func `a damaged page of checksums condemns nothing`() throws {
    let legs = Legs()
    try legs.sealed().close()
    for offset in stride(from: 0, to: legs.sums[0].bytes.count, by: 700) {
      try legs.sums[0].write([legs.sums[0].bytes[offset] ^ 1], at: Int64(offset))
      try legs.sums[1].write([legs.sums[1].bytes[offset] ^ 1], at: Int64(offset))
    }
    let report = try #require(try legs.open().scrub())
    #expect(report.isClean && report.sealedBytes == 6 << 20)
  }

  @Test func `nothing is scrubbed with one leg`() throws {
    let legs = Legs()
    let mirror = try legs.sealed()
    #expect(mirror.drop(.io1))
    #expect(try mirror.scrub() == nil)
  }

  @Test(arguments: Array(21...28) as [UInt64])
  func `writers, cooling and power cuts never make good data look damaged`(_ seed: UInt64) throws {
    let legs = Legs()
    try legs.sealed().close()
    let mirror = try legs.open()
    let stop = Atomic<Bool>(false)
    let failures = AtomicBox()
    let threads = ThreadGroup()
    for writer in 0..<2 {
      threads.start {
        var generator = SeededGenerator(seed: seed &* 10 &+ UInt64(writer))
        while !stop.load(ordering: .relaxed) {
          let at = Int64.random(in: 0..<(6 << 20) - 512, using: &generator)
          do { try mirror.write([UInt8](repeating: .random(in: 0...9), count: 512), at: at) } catch {
            _ = failures.add(1)
          }
          usleep(200)
        }
      }
    }
    for _ in 0..<12 {
      try mirror.coolDown(least: 4)
      let report = try #require(try mirror.scrub())
      #expect(report.isClean, "\(report)")
    }
    stop.store(true, ordering: .relaxed)
    threads.join()
    #expect(failures.value == 0)
    var generator = SeededGenerator(seed: seed)
    let after = LegID.allCases.indices.map { index in
      [legs.data[index], legs.intents[index], legs.sums[index]].map { file in
        PowerCutFile(file.state(at: file.now, using: &generator))
      }
    }
    let members = LegID.allCases.enumerated().map { index, id in
      MirroredFile.Leg(
        id: id, file: after[index][0], intent: IntentFile(after[index][1]), sums: SumFile(after[index][2]))
    }
    let next = try MirroredFile(name: "m", legs: members) { _, _ in }
    #expect(try next.equalize() != nil)
    try next.coolDown(least: 10)
    let report = try #require(try next.scrub())
    #expect(report.isClean && report.skippedBytes == 0)
  }
}

/// A file that several instances use, one after the other.
private final class Unclosed: ByteFile {
  private let file: any ByteFile
  init(_ file: any ByteFile) { self.file = file }
  var name: String { file.name }
  func close() {}
  func size() throws(BlockError) -> Int64 { try file.size() }
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try file.read(into: buffer, at: offset)
  }
  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    try file.write(buffer, at: offset)
  }
  func flush() throws(BlockError) { try file.flush() }
  func truncate(to size: Int64) throws(BlockError) { try file.truncate(to: size) }
  func allocate(at offset: Int64, count: Int64) throws(BlockError) { try file.allocate(at: offset, count: count) }
  func punch(at offset: Int64, count: Int64) throws(BlockError) { try file.punch(at: offset, count: count) }
}
