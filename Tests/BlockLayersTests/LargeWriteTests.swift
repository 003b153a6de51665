import Primitives
import Synchronization
import Testing

@testable import BlockLayers

/// Writes that are large enough for both legs to be written at the same time.
@Suite(.timeLimit(.minutes(1))) struct LargeWriteTests {
  /// Two legs in memory, and who was lost.
  private final class World: Sendable {
    let data = LegID.allCases.map { _ in PowerCutFile() }
    let plans = LegID.allCases.map { _ in FaultPlan() }
    let calls = LegCalls()
    private let losses = Mutex<[LegID]>([])
    var lost: [LegID] { losses.withLock { $0 } }

    /// Not compared in an expectation: it would tell where long arrays differ, for minutes.
    func hold(_ content: [UInt8]) -> Bool { data.allSatisfy { $0.bytes == content } }

    func open(_ wrap: (LegID, any ByteFile) -> any ByteFile = { $1 }) throws -> MirroredFile {
      let legs = LegID.allCases.enumerated().map { index, id in
        MirroredFile.Leg(id: id, file: wrap(id, FaultFile(data[index], plans[index])))
      }
      return try MirroredFile(name: "m", legs: legs, calls: calls) { leg, _ in self.losses.withLock { $0.append(leg) } }
    }
  }

  private static func content(_ count: Int = 256 << 10, _ seed: UInt8 = 1) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 4096)
    while bytes.count < count {
      bytes += [UInt8](repeating: UInt8(truncatingIfNeeded: bytes.count / 4096) &+ seed, count: 4096)
    }
    return Array(bytes[..<count])
  }

  @Test(arguments: [SecondWrite.least - 1, SecondWrite.least, 300_000])
  func `what is acknowledged is on both legs`(_ count: Int) throws {
    let world = World()
    let mirror = try world.open()
    try mirror.write(Self.content(count), at: 7)
    #expect(world.hold([UInt8](repeating: 0, count: 7) + Self.content(count)))
  }

  @Test func `both legs are written at the same time`() throws {
    let world = World()
    let meeting = Meeting(of: 2)
    let mirror = try world.open { MeetingFile($1, meeting) }
    try mirror.write(Self.content(), at: 0)
    #expect(meeting.wasHeld)
    #expect(world.hold(Self.content()))
  }

  @Test(arguments: LegID.allCases) func `a leg that fails is lost before the write returns`(_ leg: LegID) throws {
    let world = World()
    let mirror = try world.open()
    let index = leg == .io0 ? 0 : 1
    world.plans[index].add(.init(.write, .short, times: 1))
    try mirror.write(Self.content(), at: 0)
    #expect(world.lost == [leg])
    #expect(mirror.state(of: leg) == .absent)
    let isThere = try mirror.bytes(at: 0, count: 256 << 10) == Self.content()
    #expect(isThere)
  }

  @Test func `a write that fails on both legs fails`() throws {
    let world = World()
    let mirror = try world.open()
    for plan in world.plans { plan.add(.init(.write, .error(28), times: 1)) }
    #expect(throws: BlockError.self) { try mirror.write(Self.content(), at: 0) }
    #expect(world.lost.isEmpty)
    try mirror.write(Self.content(), at: 0)
    #expect(world.hold(Self.content()))
  }

  @Test func `a leg that was shot is lost`() throws {
    let gate = ShotGate()
    let lost = Mutex<[LegID]>([])
    let data = [PowerCutFile(), PowerCutFile()]
    let mirror = try MirroredFile(
      name: "m",
      legs: [.init(id: .io0, file: data[0]), .init(id: .io1, file: data[1], isShot: gate.isShot)]
    ) { leg, error in
      #expect(error.kind == .shot)
      lost.withLock { $0.append(leg) }
    }
    gate.shoot()
    try mirror.write(Self.content(), at: 0)
    #expect(lost.withLock { $0 } == [.io1])
    #expect(data[1].bytes.isEmpty)
  }

  @Test func `a write does not wait for a thread that is not free`() throws {
    let world = World()
    let mirror = try world.open()
    // What is written for the first time waits for a record on both legs.
    try mirror.write([1], at: 0)
    let gate = HangGate()
    gate.close()
    let busy = (0..<100).map { _ in world.calls.begin(on: .io1) { gate.pass() } }
    try mirror.write(Self.content(), at: 0)
    #expect(world.hold(Self.content()))
    gate.open()
    // What the caller did itself is not done again.
    for call in busy { #expect(call.hasEnded(within: .seconds(30))) }
    #expect(world.lost.isEmpty)
    try mirror.write(Self.content(256 << 10, 9), at: 0)
    #expect(world.hold(Self.content(256 << 10, 9)))
  }

  @Test func `writers that overlap leave both legs alike`() throws {
    let world = World()
    let mirror = try world.open()
    let threads = ThreadGroup()
    for writer in 0..<4 {
      threads.start {
        for round in 0..<20 {
          try? mirror.write(
            [UInt8](repeating: UInt8(writer * 20 + round), count: 160 << 10), at: Int64(writer * 64 << 10))
        }
      }
    }
    threads.join()
    #expect(world.hold(world.data[0].bytes))
    #expect(world.lost.isEmpty)
  }
}

/// Waits until a number of threads are there.
private final class Meeting: @unchecked Sendable {
  // `awaited` is touched only with `monitor` held.
  private let monitor = Monitor()
  private var awaited: Int

  init(of count: Int) { awaited = count }

  /// Whether all came.
  var wasHeld: Bool { monitor.locked { awaited <= 0 } }

  func attend() {
    let end = Monitor.time(in: .seconds(20))
    monitor.locked {
      awaited -= 1
      monitor.wakeAll()
      while awaited > 0, monitor.wait(until: end) {}
    }
  }
}

/// A file whose writes wait for each other.
private final class MeetingFile: ByteFile {
  private let file: any ByteFile
  private let meeting: Meeting

  init(_ file: any ByteFile, _ meeting: Meeting) { (self.file, self.meeting) = (file, meeting) }

  var name: String { file.name }
  func size() throws(BlockError) -> Int64 { try file.size() }
  func close() { file.close() }
  func flush() throws(BlockError) { try file.flush() }
  func truncate(to size: Int64) throws(BlockError) { try file.truncate(to: size) }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try file.read(into: buffer, at: offset)
  }

  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    meeting.attend()
    try file.write(buffer, at: offset)
  }

  func allocate(at offset: Int64, count: Int64) throws(BlockError) { try file.allocate(at: offset, count: count) }
  func punch(at offset: Int64, count: Int64) throws(BlockError) { try file.punch(at: offset, count: count) }
}
