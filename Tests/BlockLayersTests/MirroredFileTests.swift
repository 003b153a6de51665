import BlockLayers
import Glibc
import Primitives
import Synchronization
import Testing

@Suite struct MirroredFileTests {
  let directory = TemporaryDirectory()

  func leg(_ id: LegID, isShot: @escaping @Sendable () -> Bool = { false }) throws -> MirroredFile.Leg {
    let path = directory.path("\(id.rawValue)")
    let file = try PosixFile(path: path, mode: access(path, F_OK) == 0 ? .readWrite : .create)
    return MirroredFile.Leg(id: id, file: file, isShot: isShot)
  }

  @Test func `a write reaches both legs`() throws {
    let mirror = try MirroredFile(name: "m", legs: [leg(.io0), leg(.io1)]) { _, _ in }
    try mirror.write([1, 2, 3], at: 5)
    try mirror.flush()
    #expect(try directory.content("io0") == [0, 0, 0, 0, 0, 1, 2, 3])
    #expect(try directory.content("io1") == directory.content("io0"))
  }

  @Test func `the loss of a leg is made durable before the write is acknowledged`() throws {
    let told = Mutex<[LegID]>([])
    let gate = ShotGate()
    let mirror = try MirroredFile(name: "m", legs: [leg(.io0, isShot: gate.isShot), leg(.io1)]) { leg, error in
      #expect(error.kind == .shot)
      told.withLock { $0.append(leg) }
    }
    try mirror.write([1], at: 0)
    gate.shoot()
    try mirror.write([2], at: 1)
    try mirror.write([3], at: 2)
    #expect(told.withLock { $0 } == [.io0])
    #expect(mirror.state(of: .io0) == .absent)
    #expect(try mirror.bytes(at: 0, count: 3) == [1, 2, 3])
    #expect(try directory.content("io0") == [1])
  }

  @Test func `a write fails when its loss cannot be made durable`() throws {
    let gate = ShotGate()
    let mirror = try MirroredFile(name: "m", legs: [leg(.io0, isShot: gate.isShot), leg(.io1)]) {
      (_, _) throws(BlockError) in throw BlockError(.io, "witness")
    }
    gate.shoot()
    #expect(throws: BlockError.self) { try mirror.write([2], at: 1) }
    #expect(throws: BlockError.self) { try mirror.write([2], at: 1) }
  }

  @Test func `the last leg in step is never taken out`() throws {
    let gate = ShotGate()
    let told = Mutex<[LegID]>([])
    let mirror = try MirroredFile(
      name: "m", legs: [leg(.io0, isShot: gate.isShot), leg(.io1, isShot: gate.isShot)]
    ) { leg, _ in told.withLock { $0.append(leg) } }
    gate.shoot()
    #expect(throws: BlockError.self) { try mirror.write([2], at: 1) }
    #expect(told.withLock { $0 }.isEmpty)
    #expect(!mirror.drop(.io0) || !mirror.drop(.io1))
  }

  @Test(arguments: LegID.allCases)
  func `a leg that hangs in a sync is taken out within the bound`(_ hung: LegID) throws {
    let gate = HangGate()
    let told = Mutex<[LegID]>([])
    let legs = try [leg(.io0), leg(.io1)].map {
      $0.id == hung ? MirroredFile.Leg(id: hung, file: HangingFile($0.file, gate)) : $0
    }
    let calls = LegCalls(bound: .milliseconds(100))
    let mirror = try MirroredFile(name: "m", legs: legs, calls: calls) { leg, error in
      #expect(error.description.contains("did not answer"))
      told.withLock { $0.append(leg) }
    }
    try mirror.write([1, 2, 3], at: 0)
    gate.close()
    let began = ContinuousClock.now
    try mirror.flush()
    #expect(ContinuousClock.now - began < .seconds(5))
    #expect(told.withLock { $0 } == [hung])
    #expect(mirror.state(of: hung) == .absent)
    #expect(calls.areStuck(on: hung) && !calls.areStuck(on: hung.other))
    // It goes on with the other one as if nothing had been.
    try mirror.write([4], at: 3)
    try mirror.truncate(to: 5)
    try mirror.flush()
    #expect(try directory.content(hung.other.rawValue) == [1, 2, 3, 4, 0])
    gate.open()
    while calls.areStuck(on: hung) { usleep(1000) }
  }

  @Test func `a read that fails on the preferred leg is answered by the other and reported`() throws {
    let plan = FaultPlan()
    let reports = Mutex<[LegID]>([])
    let first = try leg(.io0)
    let mirror = try MirroredFile(
      name: "m",
      legs: [MirroredFile.Leg(id: .io0, file: FaultFile(first.file, plan)), leg(.io1)],
      onReadError: { failure in reports.withLock { $0.append(failure.leg) } }, onLegFailure: { _, _ in })
    try mirror.write([7], at: 0)
    plan.add(.init(.read, .error(EIO)))
    #expect(try mirror.bytes(at: 0, count: 1) == [7])
    #expect(reports.withLock { $0 } == [.io0])
  }

  @Test func `a leg that comes back is copied while it is written`() throws {
    let mirror = try MirroredFile(name: "m", legs: [leg(.io0)]) { _, _ in }
    let size = 5 << 20
    try mirror.write([UInt8](repeating: 1, count: size), at: 0)
    try mirror.attach(leg(.io1))
    #expect(mirror.state(of: .io1) == .joining)
    let stop = Atomic<Bool>(false)
    let writers = ThreadGroup()
    for writer in 0..<2 {
      writers.start {
        var generator = SeededGenerator(seed: UInt64(writer))
        while !stop.load(ordering: .relaxed) {
          let at = Int64.random(in: 0..<Int64(size - 4096), using: &generator)
          try? mirror.write([UInt8](repeating: .random(in: 0...255, using: &generator), count: 4096), at: at)
        }
      }
    }
    for _ in 0..<3 { #expect(try mirror.resync(.io1)) }
    stop.store(true, ordering: .relaxed)
    writers.join()
    #expect(mirror.setInStep(.io1))
    #expect(try directory.content("io0") == directory.content("io1"))
  }

  @Test func `a joining leg that fails is out and the file goes on`() throws {
    let gate = ShotGate()
    let mirror = try MirroredFile(name: "m", legs: [leg(.io0)]) { _, _ in }
    try mirror.write([UInt8](repeating: 1, count: 100), at: 0)
    try mirror.attach(leg(.io1, isShot: gate.isShot))
    gate.shoot()
    #expect(throws: BlockError.self) { try mirror.resync(.io1) }
    #expect(mirror.state(of: .io1) == .absent)
    try mirror.write([2], at: 0)
    #expect(!mirror.setInStep(.io1))
  }

  @Test func `holes stay holes when a leg is copied`() throws {
    let mirror = try MirroredFile(name: "m", legs: [leg(.io0)]) { _, _ in }
    try mirror.truncate(to: 64 << 20)
    try mirror.write([1], at: 32 << 20)
    try mirror.attach(leg(.io1))
    #expect(try mirror.resync(.io1))
    var status = stat()
    #expect(stat(directory.path("io1"), &status) == 0)
    #expect(status.st_size == 64 << 20)
    #expect(status.st_blocks * 512 < 4 << 20)
  }
}
