import Glibc
import Primitives
import Synchronization
import Testing

@testable import BlockLayers

/// Legs whose disks take long: others go on within the bound.
@Suite struct SlowLegTests {
  private static let bound: Duration = .milliseconds(300)

  private final class World: Sendable {
    let data = LegID.allCases.map { _ in PowerCutFile([UInt8](repeating: 3, count: 1 << 20)) }
    let plans = LegID.allCases.map { _ in FaultPlan() }
    let calls = LegCalls(bound: bound)
    private let losses = Mutex<[LegID]>([])
    var lost: [LegID] { losses.withLock { $0 } }

    func open() throws -> MirroredFile {
      let legs = LegID.allCases.enumerated().map { index, id in
        MirroredFile.Leg(id: id, file: FaultFile(data[index], plans[index]))
      }
      return try MirroredFile(name: "m", legs: legs, calls: calls) { leg, _ in self.losses.withLock { $0.append(leg) } }
    }
  }

  private static let long = FaultPlan.Effect.delay(microseconds: 4_000_000)

  @Test func `a read from a leg that does not answer is answered by the other within the bound`() throws {
    let world = World()
    let mirror = try world.open()
    world.plans[0].add(.init(.read, Self.long))
    let began = ContinuousClock.now
    #expect(try mirror.bytes(at: 5, count: 3) == [3, 3, 3])
    #expect(ContinuousClock.now - began < .seconds(3))
    #expect(world.lost == [.io0])
    #expect(world.calls.areStuck(on: .io0))
    #expect(try mirror.bytes(at: 9, count: 1) == [3])
  }

  @Test func `reads that wait at the same time lose the leg once`() throws {
    let world = World()
    let mirror = try world.open()
    world.plans[0].add(.init(.read, Self.long))
    let wrong = AtomicBox()
    let threads = ThreadGroup()
    let began = ContinuousClock.now
    for number in 0..<16 {
      threads.start { if (try? mirror.bytes(at: Int64(number) << 12, count: 2)) != [3, 3] { _ = wrong.add(1) } }
    }
    threads.join()
    #expect(ContinuousClock.now - began < .seconds(3))
    #expect(wrong.value == 0 && world.lost == [.io0])
  }

  @Test(arguments: [0, 1])
  func `reads do not wait for checksums longer than the bound`(_ index: Int) throws {
    let world = World()
    let plan = FaultPlan()
    let legs = LegID.allCases.enumerated().map { number, id in
      MirroredFile.Leg(
        id: id, file: world.data[number], intent: IntentFile(PowerCutFile()),
        sums: SumFile(number == index ? FaultFile(PowerCutFile(), plan) : PowerCutFile()))
    }
    let lost = Mutex<[LegID]>([])
    let mirror = try MirroredFile(name: "m", legs: legs, isNew: true, calls: world.calls) { leg, _ in
      lost.withLock { $0.append(leg) }
    }
    plan.add(.init(.read, Self.long))
    let began = ContinuousClock.now
    #expect(try mirror.bytes(at: 0, count: 4096) == [UInt8](repeating: 3, count: 4096))
    #expect(ContinuousClock.now - began < .seconds(3))
    // Only the leg that is read is asked.
    #expect(lost.withLock { $0 } == (index == 0 ? [.io0] : []))
  }

  @Test(arguments: [0, 1])
  func `writes go on within the bound while a leg hangs in a sync`(_ index: Int) throws {
    let world = World()
    let mirror = try world.open()
    let leg = LegID.allCases[index]
    world.plans[index].add(.init(.any, Self.long))
    let began = ContinuousClock.now
    let threads = ThreadGroup()
    threads.start { try? mirror.flush() }
    while !world.calls.isSlow(leg) { usleep(1000) }
    try mirror.write([7, 7], at: 0)
    #expect(ContinuousClock.now - began < .seconds(3))
    threads.join()
    #expect(world.lost == [leg])
    #expect(try mirror.bytes(at: 0, count: 3) == [7, 7, 3])
    #expect(world.data[index].bytes.first == 3)
  }

  @Test(arguments: [0, 1])
  func `a comparison does not wait for a leg longer than the bound`(_ index: Int) throws {
    let world = World()
    let mirror = try world.open()
    world.plans[index].add(.init(.read, Self.long))
    let began = ContinuousClock.now
    #expect(throws: BlockError.self) { _ = try mirror.equalize() }
    #expect(ContinuousClock.now - began < .seconds(3))
    #expect(world.lost == [LegID.allCases[index]])
  }

  @Test(arguments: [0, 1], [false, true])
  func `a scrub does not wait for a leg longer than the bound`(_ index: Int, _ areSumsSlow: Bool) throws {
    let world = World()
    let plan = FaultPlan()
    let legs = LegID.allCases.enumerated().map { number, id in
      let isSlow = number == index
      return MirroredFile.Leg(
        id: id, file: isSlow && !areSumsSlow ? FaultFile(world.data[number], plan) : world.data[number],
        intent: IntentFile(PowerCutFile()),
        sums: SumFile(isSlow && areSumsSlow ? FaultFile(PowerCutFile(), plan) : PowerCutFile()))
    }
    let lost = Mutex<[LegID]>([])
    let mirror = try MirroredFile(name: "m", legs: legs, isNew: true, calls: world.calls) { leg, _ in
      lost.withLock { $0.append(leg) }
    }
    plan.add(.init(.read, Self.long))
    let began = ContinuousClock.now
    #expect(throws: BlockError.self) { _ = try mirror.scrub() }
    #expect(ContinuousClock.now - began < .seconds(3))
    #expect(lost.withLock { $0 } == [LegID.allCases[index]])
    #expect(try mirror.bytes(at: 7, count: 1) == [3])
  }

  @Test func `a leg that answers again is called as before`() throws {
    let world = World()
    let mirror = try world.open()
    world.plans[1].add(.init(.flush, .delay(microseconds: 200_000), times: 1))
    let threads = ThreadGroup()
    let hasEnded = Atomic<Bool>(false)
    threads.start {
      try? mirror.flush()
      hasEnded.store(true, ordering: .relaxed)
    }
    while !world.calls.isSlow(.io1), !hasEnded.load(ordering: .relaxed) { usleep(1000) }
    try mirror.write([9], at: 0)
    threads.join()
    try mirror.flush()
    #expect(!world.calls.isSlow(.io1) && world.lost.isEmpty)
    #expect(world.data.allSatisfy { $0.bytes.first == 9 })
  }

  @Test func `when both legs take long the call lasts, and what is acknowledged is on both`() throws {
    let world = World()
    let mirror = try world.open()
    for plan in world.plans { plan.add(.init(.resize, .delay(microseconds: 700_000), times: 1)) }
    try mirror.truncate(to: 100)
    #expect(try mirror.size() == 100)
    for leg in LegID.allCases where mirror.state(of: leg) == .inStep {
      #expect(world.data[leg == .io0 ? 0 : 1].bytes.count == 100)
    }
  }

  @Test func `what is in memory is read without waiting, and what is behind the end is not`() throws {
    let directory = TemporaryDirectory()
    let file = try PosixFile(path: directory.path("f"), mode: .create)
    try file.write([UInt8](repeating: 8, count: 5000), at: 0)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 100, alignment: 16)
    defer { buffer.deallocate() }
    #expect(try file.readWithoutWaiting(into: buffer, at: 4900))
    #expect(buffer.allSatisfy { $0 == 8 })
    #expect(try !file.readWithoutWaiting(into: buffer, at: 4901))
  }
}
