import Glibc
import Primitives
import Synchronization
import Testing

@testable import BlockLayers

/// Reads that fail, or read something else than what was written, on one leg or both.
@Suite struct ReadHealingTests {
  private final class World: Sendable {
    static let size = 6 << 20
    let data = LegID.allCases.map { _ in PowerCutFile([UInt8](repeating: 0, count: size)) }
    let plans = LegID.allCases.map { _ in FaultPlan() }
    private let failures = Mutex<[ReadFailure]>([])
    private let losses = Mutex<[LegID]>([])

    var told: [ReadFailure] { failures.withLock { $0 } }
    var lost: [LegID] { losses.withLock { $0 } }
    var areEqual: Bool { BlockLayersTests.areEqual(data[0].bytes, data[1].bytes) }

    func open(_ wrap: (LegID, any ByteFile) -> any ByteFile = { $1 }) throws -> MirroredFile {
      let legs = LegID.allCases.enumerated().map { index, id in
        MirroredFile.Leg(
          id: id, file: wrap(id, FaultFile(data[index], plans[index])), intent: IntentFile(PowerCutFile()),
          sums: SumFile(PowerCutFile()))
      }
      return try MirroredFile(
        name: "m", legs: legs, isNew: true, onReadError: { failure in self.failures.withLock { $0.append(failure) } },
        onLegFailure: { leg, _ in self.losses.withLock { $0.append(leg) } })
    }

    /// A file in which every block holds its number, all of it with checksums.
    func sealed() throws -> MirroredFile {
      let mirror = try open()
      for block in stride(from: 0, to: World.size >> 12, by: 7) {
        try mirror.write(World.block(block), at: Int64(block) << 12)
      }
      try mirror.coolDown(least: 10)
      #expect(try #require(try mirror.scrub()).sealedBytes == World.size)
      return mirror
    }

    static func block(_ number: Int) -> [UInt8] {
      [UInt8](repeating: UInt8(truncatingIfNeeded: number | 1), count: 4096)
    }

    func flip(_ index: Int, at offset: Int) throws {
      try data[index].write([data[index].bytes[offset] ^ 4], at: Int64(offset))
    }
  }

  @Test func `what a read healed stays so when the power fails`() throws {
    let world = World()
    let mirror = try world.sealed()
    try world.flip(0, at: 7 * 4096 + 5)
    #expect(try mirror.bytes(at: 7 * 4096, count: 4096) == World.block(7))
    var generator = SeededGenerator(seed: 1)
    for _ in 0..<10 {
      #expect(world.data[0].state(at: world.data[0].now, using: &generator)[7 * 4096 + 5] == World.block(7)[5])
    }
  }

  @Test func `what one leg cannot read is answered by the other, written again and told`() throws {
    let world = World()
    let mirror = try world.open()
    try mirror.write([UInt8](repeating: 7, count: 20_000), at: 0)
    // The read of the client, and the second look.
    world.plans[0].add(.init(.read, .error(EIO), times: 2))
    #expect(try mirror.bytes(at: 5000, count: 3000) == [UInt8](repeating: 7, count: 3000))
    let told = try #require(world.told.first)
    #expect(world.told.count == 1)
    #expect(told.leg == .io0 && told.outcome == .healed && told.range == 5000..<8000 && told.error.kind == .io)
    #expect(world.lost.isEmpty && world.areEqual)
  }

  @Test func `an unreadable block is healed by the first read of it`() throws {
    let world = World()
    let bad = BadBlockFile(world.data[0], at: 8192)
    let mirror = try world.open { $0 == .io0 ? bad : $1 }
    bad.spoil()
    #expect(try mirror.bytes(at: 0, count: 20_000).count == 20_000)
    #expect(!bad.isBad)
    #expect(try mirror.bytes(at: 8192, count: 1) == [0])
    #expect(world.told.map(\.outcome) == [.healed])
  }

  @Test func `a leg that cannot be written again is lost, and the read is answered`() throws {
    let world = World()
    let mirror = try world.open()
    try mirror.write([1, 2, 3], at: 0)
    world.plans[0].add(.init(.any, .error(EIO)))
    #expect(try mirror.bytes(at: 0, count: 3) == [1, 2, 3])
    #expect(world.lost == [.io0])
    #expect(world.told.map(\.outcome) == [.answered])
    #expect(mirror.state(of: .io0) == .absent)
  }

  @Test func `a leg that cannot be read although it was written again is lost`() throws {
    let world = World()
    let mirror = try world.open()
    world.plans[0].add(.init(.read, .error(EIO)))
    #expect(try mirror.bytes(at: 0, count: 3) == [0, 0, 0])
    #expect(world.lost == [.io0])
    #expect(try mirror.bytes(at: 0, count: 3) == [0, 0, 0])
    #expect(world.told.count == 1)
  }

  @Test func `a read that fails on both legs fails, is told and takes no leg out`() throws {
    let world = World()
    let mirror = try world.open()
    for plan in world.plans { plan.add(.init(.read, .error(EIO))) }
    #expect(throws: BlockError.self) { try mirror.bytes(at: 0, count: 3) }
    #expect(world.lost.isEmpty)
    #expect(world.told.map(\.outcome) == [.lost])
  }

  @Test(arguments: [0, 4095, 7 << 12, World.size - 1])
  func `a bit that flipped on the leg that is read is found by a read and healed`(_ offset: Int) throws {
    let world = World()
    let mirror = try world.sealed()
    let block = offset >> 12
    let right = try mirror.bytes(at: Int64(block) << 12, count: 4096)
    try world.flip(0, at: offset)
    #expect(try mirror.bytes(at: Int64(block) << 12, count: 4096) == right)
    let told = try #require(world.told.first)
    #expect(told.leg == .io0 && told.outcome == .healed && told.error.kind == .damaged)
    #expect(told.range == Int64(block) << 12..<Int64(block + 1) << 12)
    #expect(world.areEqual && world.lost.isEmpty)
  }

  @Test func `blocks side by side are told of once, in a read of any length`() throws {
    let world = World()
    let mirror = try world.sealed()
    for block in [100, 101, 102, 1030] { try world.flip(0, at: block << 12) }
    let found = try mirror.bytes(at: 100, count: World.size - 100)
    #expect(areEqual(found, Array(world.data[1].bytes.dropFirst(100))))
    #expect(world.told.map(\.range) == [100 << 12..<103 << 12, 1030 << 12..<1031 << 12])
    #expect(world.areEqual)
  }

  @Test(arguments: [true, false])
  func `a block that is wrong on every leg is never served`(_ isSame: Bool) throws {
    let world = World()
    let mirror = try world.sealed()
    try world.flip(0, at: 9000)
    try world.flip(1, at: isSame ? 9000 : 9001)
    #expect(throws: BlockError.self) { try mirror.bytes(at: 8192, count: 4096) }
    #expect(world.told.map(\.outcome) == [.lost])
    #expect(world.told.first?.error.errno == EIO)
    #expect(try mirror.bytes(at: 4096, count: 4096) == [UInt8](repeating: 0, count: 4096))
    // What is written there is good again.
    try mirror.write(World.block(2), at: 8192)
    #expect(try mirror.bytes(at: 8192, count: 4096) == World.block(2))
  }

  @Test func `with one leg alone a wrong block is not served either`() throws {
    let world = World()
    let mirror = try world.sealed()
    mirror.drop(.io0)
    try world.flip(1, at: 9000)
    #expect(throws: BlockError.self) { try mirror.bytes(at: 8192, count: 4096) }
    #expect(world.told.map(\.leg) == [.io1])
  }

  @Test func `a wrong block on a leg that cannot be written is answered by the other`() throws {
    let world = World()
    let mirror = try world.sealed()
    try world.flip(0, at: 9000)
    world.plans[0].add(.init(.write, .error(EIO)))
    #expect(try mirror.bytes(at: 8192, count: 4096) == [UInt8](repeating: 0, count: 4096))
    #expect(world.told.map(\.outcome) == [.answered])
    #expect(world.lost == [.io0])
  }

  @Test func `a leg is not healed with what is wrong on the other`() throws {
    let world = World()
    let mirror = try world.sealed()
    try world.flip(1, at: 9000)
    world.plans[0].add(.init(.read, .error(EIO), times: 2))
    #expect(try mirror.bytes(at: 8192, count: 4096) == [UInt8](repeating: 0, count: 4096))
    #expect(world.data[0].bytes[9000] == 0)
  }

  @Test(arguments: Array(41...44) as [UInt64])
  func `reads never take for damage what is being written, cooled and sealed`(_ seed: UInt64) throws {
    let world = World()
    let mirror = try world.sealed()
    let stop = Atomic<Bool>(false)
    let failures = AtomicBox()
    let reads = AtomicBox()
    let threads = ThreadGroup()
    for number in 0..<4 {
      threads.start {
        var generator = SeededGenerator(seed: seed &* 10 &+ UInt64(number))
        while !stop.load(ordering: .relaxed) {
          let at = Int64.random(in: 0..<Int64(World.size >> 12) - 4, using: &generator) << 12
          do {
            if number < 2 {
              try mirror.write(World.block(Int.random(in: 0...255, using: &generator)), at: at + 512)
              usleep(100)
            } else {
              _ = try mirror.bytes(at: at, count: 16384)
              _ = reads.add(1)
            }
          } catch { _ = failures.add(1) }
        }
      }
    }
    for _ in 0..<8 {
      try mirror.coolDown(least: 4)
      #expect(try #require(try mirror.scrub()).isClean)
    }
    while reads.value < 100 { try mirror.coolDown(least: 4) }
    stop.store(true, ordering: .relaxed)
    threads.join()
    #expect(failures.value == 0)
    #expect(world.told.isEmpty, "\(world.told)")
  }
}

@Suite struct SumCacheTests {
  private func page(_ covered: Int, _ sum: UInt32) -> SumFile.Page {
    SumFile.Page(coveredBytes: covered, sums: [UInt32](repeating: sum, count: (covered + 4095) / 4096))
  }

  @Test func `it tells what it keeps, that there is nothing, and that it does not know`() {
    let cache = SumCache()
    #expect(cache.sum(of: 3, 0) == .unknown)
    cache.keep(page(4096 * 2 + 100, 5), of: 3, since: cache.moment)
    #expect(cache.sum(of: 3, 1) == .sum(5))
    // A block that is covered in part has no checksum of a whole one.
    #expect(cache.sum(of: 3, 2) == .none)
    cache.keep(nil, of: 4, since: cache.moment)
    #expect(cache.sum(of: 4, 0) == .none)
    cache.forget(3)
    #expect(cache.sum(of: 3, 1) == .unknown && cache.sum(of: 4, 0) == .none)
    cache.forget(nil)
    #expect(cache.sum(of: 4, 0) == .unknown)
  }

  @Test func `extents that share a place are never taken for each other`() {
    let cache = SumCache()
    cache.keep(page(4 << 20, 1), of: 7, since: cache.moment)
    cache.keep(page(4 << 20, 2), of: 7 + SumCache.extents, since: cache.moment)
    #expect(cache.sum(of: 7, 1023) == .unknown)
    #expect(cache.sum(of: 7 + SumCache.extents, 1023) == .sum(2))
    cache.forget(7)
    #expect(cache.sum(of: 7 + SumCache.extents, 0) == .sum(2))
  }

  @Test func `what was read before something was forgotten is not kept`() {
    let cache = SumCache()
    let moment = cache.moment
    cache.forget(9)
    cache.keep(page(4096, 1), of: 7, since: moment)
    #expect(cache.sum(of: 7, 0) == .unknown)
  }
}
