import Primitives
import BlockLayers
import Glibc
import NBD
import Testing

/// A device that tells how it was used.
final class RecordingDevice: BlockDevice, @unchecked Sendable {
  // Everything mutable is touched only with `monitor` held.
  private let device: MemoryDevice
  private let plan: FaultPlan
  private let monitor = Monitor()
  private var readCounts: [Int] = []
  private var writeCounts: [Int] = []

  init(size: Int, plan: FaultPlan = FaultPlan()) {
    device = MemoryDevice(size: size)
    self.plan = plan
  }

  var size: Int64 { device.size }
  var content: [UInt8] { device.content }
  var reads: [Int] { monitor.locked { readCounts } }
  var writes: [Int] { monitor.locked { writeCounts } }

  func waitForReads(_ count: Int) {
    monitor.lock()
    while readCounts.count < count { monitor.wait() }
    monitor.unlock()
  }

  func waitForWrites(_ count: Int) {
    monitor.lock()
    while writeCounts.count < count { monitor.wait() }
    monitor.unlock()
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    monitor.locked {
      readCounts.append(buffer.count)
      monitor.wakeAll()
    }
    try FaultDevice(device, plan).read(into: buffer, at: offset)
  }

  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64, flags: WriteFlags) throws(BlockError) {
    monitor.locked {
      writeCounts.append(buffer.count)
      monitor.wakeAll()
    }
    try FaultDevice(device, plan).write(buffer, at: offset, flags: flags)
  }

  func flush() throws(BlockError) { try device.flush() }
  func trim(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {}
  func writeZeroes(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {}
  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [Extent] {
    try device.extents(at: offset, count: count)
  }
  func close() {}
}

@Suite struct LargeRequestTests {
  let megabyte = 1 << 20

  @Test func `a cache request reads ahead through the device and sends nothing of it`() throws {
    let device = RecordingDevice(size: 4 << 20)
    let client = try WireClient(TestServer(["a": NBDExport(device: device)]))
    try client.go("a")
    client.request(5, cookie: 1, offset: 4096, count: UInt32(megabyte))
    #expect(try #require(client.simpleReply()) == (0, 1))
    #expect(device.reads.reduce(0, +) == megabyte)
    client.request(3, cookie: 2)
    #expect(try #require(client.simpleReply()) == (0, 2))
  }

  @Test func `a cache request reads no more than the limit, and tells when that failed`() throws {
    var limits = NBDLimits()
    limits.cacheBytes = 700_000
    let plan = FaultPlan()
    plan.add(.init(.read, .error(EIO), skip: 3))
    let device = RecordingDevice(size: 4 << 20, plan: plan)
    let client = try WireClient(TestServer(["a": NBDExport(device: device)], limits: limits))
    try client.go("a")
    client.request(5, count: 4 << 20)
    #expect(try #require(client.simpleReply()) == (0, 1))
    #expect(device.reads.reduce(0, +) == 700_000)
    client.request(5, count: 4 << 20)
    #expect(try #require(client.simpleReply()) == (UInt32(EIO), 1))
  }

  @Test func `a large write is written in pieces while it arrives`() throws {
    let device = RecordingDevice(size: 4 << 20)
    let client = try WireClient(TestServer(["a": NBDExport(device: device)]))
    try client.go("a")
    let payload = randomBytes(3 * megabyte + 17, seed: 2)
    client.request(1, offset: 5, count: UInt32(payload.count), Array(payload[..<megabyte]))
    device.waitForWrites(2)
    client.send(Array(payload[megabyte...]))
    #expect(try #require(client.simpleReply()) == (0, 1))
    #expect(Array(device.content[5..<5 + payload.count]) == payload)
    #expect(device.writes.allSatisfy { $0 <= 512 << 10 })
  }

  @Test func `a large write that fails in between is one error, and the next request is heard`() throws {
    let plan = FaultPlan()
    plan.add(.init(.write, .error(ENOSPC), skip: 1, times: 1))
    let device = RecordingDevice(size: 4 << 20, plan: plan)
    let client = try WireClient(TestServer(["a": NBDExport(device: device)]))
    try client.go("a")
    client.request(1, cookie: 1, count: UInt32(2 * megabyte), [UInt8](repeating: 7, count: 2 * megabyte))
    #expect(try #require(client.simpleReply()) == (UInt32(ENOSPC), 1))
    #expect(device.writes.count == 2)
    client.request(0, cookie: 2, count: 1)
    #expect(try #require(client.simpleReply()) == (0, 2))
    #expect(client.receive(1) == [7])
  }

  @Test func `large reads that must be in one piece wait until there is memory for them`() throws {
    let device = RecordingDevice(size: 4 << 20)
    var limits = NBDLimits()
    limits.largeReadBytes = 5 * megabyte
    let server = try TestServer(["a": NBDExport(device: device)], limits: limits)
    let clients = try (0..<3).map { _ in try WireClient(server) }
    for client in clients { try client.go("a") }
    for (index, client) in clients.enumerated() {
      client.request(0, count: UInt32(2 * megabyte))
      // Two have room, and are not taken.
      device.waitForReads(min(index + 1, 2))
    }
    #expect(!clients[2].hasReceived(16))
    #expect(device.reads.count == 2)
    for client in clients {
      #expect(try #require(client.simpleReply()) == (0, 1))
      #expect(client.receive(2 * megabyte)?.count == 2 * megabyte)
    }
  }

  @Test func `a request that is larger than all the memory for large reads is served alone`() throws {
    var limits = NBDLimits()
    limits.largeReadBytes = 1
    let server = try TestServer(["a": NBDExport(device: MemoryDevice(size: 4 << 20))], limits: limits)
    let client = try WireClient(server)
    try client.go("a")
    client.request(0, count: UInt32(4 * megabyte))
    #expect(try #require(client.simpleReply()) == (0, 1))
    #expect(client.receive(4 * megabyte)?.count == 4 * megabyte)
  }

  @Test func `who does not take a large answer in time is ended, and the next one is served`() throws {
    var limits = NBDLimits()
    (limits.largeReadBytes, limits.largeReadSeconds) = (1, 1)
    let device = RecordingDevice(size: 4 << 20)
    let server = try TestServer(["a": NBDExport(device: device)], limits: limits)
    let deaf = try WireClient(server)
    try deaf.go("a")
    deaf.request(0, count: UInt32(megabyte))
    device.waitForReads(1)
    let client = try WireClient(server)
    try client.go("a")
    client.request(0, count: UInt32(megabyte))
    #expect(try #require(client.simpleReply()) == (0, 1))
    #expect(deaf.isHungUp(within: 10_000))
  }

  @Test func `a fence ends who waits for memory`() throws {
    var limits = NBDLimits()
    (limits.largeReadBytes, limits.largeReadSeconds) = (1, 600)
    let device = RecordingDevice(size: 4 << 20)
    let server = try TestServer(
      ["a": NBDExport(device: device), "b": NBDExport(device: MemoryDevice(size: 4 << 20))], limits: limits)
    let deaf = try WireClient(server)
    try deaf.go("a")
    deaf.request(0, count: UInt32(megabyte))
    device.waitForReads(1)
    let waiting = try WireClient(server)
    try waiting.go("b")
    waiting.request(0, count: UInt32(megabyte))
    server.server.closeSessions(of: "b")
    #expect(server.server.sessions.map(\.exportName) == ["a"])
  }

  @Test func `a large read that must not be fragmented is an overflow`() throws {
    let client = try WireClient(TestServer(["a": NBDExport(device: MemoryDevice(size: 4 << 20))]))
    try client.go("a", structured: true)
    client.request(0, flags: 4, count: 65536)
    #expect(try #require(client.chunk()).data.count == 65536 + 8)
    client.request(0, flags: 4, count: UInt32(megabyte))
    let chunk = try #require(client.chunk())
    #expect(chunk.type == 0x8001 && number(chunk.data[0..<4]) == UInt64(EOVERFLOW))
  }
}
