import Primitives
import BlockLayers
import Glibc
import Logging
import NBD
import Synchronization
import Testing

/// A device whose writes wait until they are let through.
final class GateDevice: BlockDevice, @unchecked Sendable {
  // `entered`, `written` and `isOpen` are touched only with `monitor` held.
  let size: Int64 = 1 << 20
  private let monitor = Monitor()
  private var isOpen = false
  private var entered = 0
  private var written = 0

  var writes: Int { monitor.locked { written } }

  func open() {
    monitor.locked {
      isOpen = true
      monitor.wakeAll()
    }
  }

  func waitForFirst() {
    monitor.lock()
    while entered == 0 { monitor.wait() }
    monitor.unlock()
  }

  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64, flags: WriteFlags) throws(BlockError) {
    monitor.lock()
    entered += 1
    monitor.wakeAll()
    while !isOpen { monitor.wait() }
    written += 1
    monitor.unlock()
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {}
  func flush() throws(BlockError) { try write(UnsafeRawBufferPointer(start: nil, count: 0), at: 0, flags: []) }
  func trim(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {}
  func writeZeroes(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {}
  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [Extent] { [] }
  func close() {}
}

@Suite struct FenceTests {
  @Test func `a fence waits for what is under way and nothing is executed after it`() throws {
    let device = GateDevice()
    let server = try TestServer(["a": NBDExport(device: device), "b": NBDExport(device: MemoryDevice(size: 4096))])
    let client = try WireClient(server)
    try client.go("a")
    let other = try WireClient(server)
    try other.go("b")
    for _ in 0..<5 { client.request(1, count: 512, [UInt8](repeating: 1, count: 512)) }
    device.waitForFirst()
    server.exports.remove("a")
    let isFenced = Mutex(false)
    let threads = ThreadGroup()
    threads.start {
      server.server.closeSessions(of: "a")
      isFenced.withLock { $0 = true }
    }
    // The client sees the end while the write is still under way.
    #expect(client.isEnded())
    let tooEarly = isFenced.withLock { $0 }
    #expect(!tooEarly)
    device.open()
    threads.join()
    #expect(device.writes == 1)
    #expect(server.server.sessions.map(\.exportName) == ["b"])
    other.request(3)
    #expect(try #require(other.simpleReply()) == (0, 1))
    #expect(device.writes == 1)
  }

  @Test func `a fence waits for flushes of workers`() throws {
    let device = GateDevice()
    let server = try TestServer(["a": NBDExport(device: device)])
    let client = try WireClient(server)
    try client.go("a")
    client.request(3)
    client.request(0, cookie: 2, count: 16)
    // The read is answered although the flush came first.
    #expect(try #require(client.simpleReply()).cookie == 2)
    device.waitForFirst()
    let isFenced = Mutex(false)
    let threads = ThreadGroup()
    threads.start {
      server.server.closeSessions(of: "a")
      isFenced.withLock { $0 = true }
    }
    _ = client.receive(16)
    #expect(client.isEnded())
    let tooEarly = isFenced.withLock { $0 }
    #expect(!tooEarly)
    device.open()
    threads.join()
    #expect(server.server.sessions.isEmpty)
  }

  @Test func `the default export is fenced as any other`() throws {
    let server = try TestServer(["": NBDExport(device: MemoryDevice(size: 4096))])
    let client = try WireClient(server)
    try client.go("")
    #expect(server.server.sessions.map(\.exportName) == [""])
    let silent = try WireClient(server)
    try silent.greet()
    server.exports.remove("")
    server.server.closeSessions(of: "")
    #expect(client.isEnded())
    #expect(server.server.sessions.isEmpty)
    // Who has not chosen an export has not chosen that one.
    silent.option(3)
    #expect(try silent.finalReply() == 1)
  }

  @Test func `a fence of an export that nobody has open returns at once`() throws {
    let server = try TestServer(["a": NBDExport(device: MemoryDevice(size: 4096))])
    server.server.closeSessions(of: "a")
    server.server.closeSessions(of: "nothing")
  }

  @Test func `stop answers what has arrived`() throws {
    let device = GateDevice()
    let server = try TestServer(["a": NBDExport(device: device)])
    let client = try WireClient(server)
    try client.go("a")
    for cookie in 0..<3 as Range<UInt64> {
      client.request(1, cookie: cookie, count: 512, [UInt8](repeating: 1, count: 512))
    }
    device.waitForFirst()
    let threads = ThreadGroup()
    threads.start { server.server.stop() }
    device.open()
    for cookie in 0..<3 as Range<UInt64> { #expect(try #require(client.simpleReply()) == (0, cookie)) }
    #expect(client.isEnded())
    threads.join()
    #expect(server.server.sessions.isEmpty)
  }

  @Test func `a second server takes over the listener with those who wait`() throws {
    let server = try TestServer(["a": NBDExport(device: MemoryDevice(size: 4096))])
    server.server.stop()
    let client = try WireClient(server)
    let exports = TestExports(["a": NBDExport(device: MemoryDevice(size: 8192))])
    let second = NBDServer(listener: server.listener, exports: exports, logger: Logger(label: "nbd-test"))
    #expect(second.start())
    try client.go("a")
    client.request(3)
    #expect(try #require(client.simpleReply()) == (0, 1))
    second.stop()
  }
}
