import BlockLayers
import Glibc
import NBD
import Synchronization
import Testing

/// A device that says when its changes are answered.
private final class AnsweringDevice: NBDAnswering {
  private struct State {
    var isHolding = false
    var waiting: [@Sendable () -> Void] = []
    var flushes = 0
  }

  let size: Int64 = 1 << 20
  private let memory = MemoryDevice(size: 1 << 20)
  private let state = Mutex(State())
  private let isThrough = Atomic(false)

  var flushes: Int { state.withLock { $0.flushes } }
  var isWriteThrough: Bool { isThrough.load(ordering: .acquiring) }
  var holdsAnswers: Bool { state.withLock { $0.isHolding } }

  func writeThrough() { isThrough.store(true, ordering: .releasing) }
  func hold() { state.withLock { $0.isHolding = true } }

  func goOn() {
    let waiting = state.withLock { state in
      defer { state.waiting = [] }
      state.isHolding = false
      return state.waiting
    }
    for release in waiting { release() }
  }

  func whenAnswersGoOn(_ release: @escaping @Sendable () -> Void) {
    let isNow = state.withLock { state in
      if state.isHolding { state.waiting.append(release) }
      return !state.isHolding
    }
    if isNow { release() }
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try memory.read(into: buffer, at: offset)
  }
  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64, flags: WriteFlags) throws(BlockError) {
    try memory.write(buffer, at: offset, flags: flags)
  }
  func flush() throws(BlockError) { state.withLock { $0.flushes += 1 } }
  func trim(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {}
  func writeZeroes(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {}
  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [Extent] { [] }
  func close() {}
}

@Suite(.timeLimit(.minutes(1))) struct HeldAnswerTests {
  private let sector = [UInt8](repeating: 7, count: 512)

  @Test func `a change that is held is done, and reads are answered meanwhile`() throws {
    let device = AnsweringDevice()
    let server = try TestServer(["a": NBDExport(device: device)])
    defer { withExtendedLifetime(server) {} }
    let client = try WireClient(server)
    try client.go("a")
    device.hold()
    for cookie: UInt64 in 1...20 { client.request(1, cookie: cookie, count: 512, sector) }
    client.request(3, cookie: 21)
    client.request(4, cookie: 22, count: 4096)
    client.request(0, cookie: 30, count: 512)
    #expect(client.simpleReply()?.cookie == 30)
    #expect(client.receive(512) == sector)
    #expect(!client.hasReceived(1))
    device.goOn()
    let answered = (1...22).compactMap { _ in client.simpleReply() }
    #expect(Set(answered.map(\.cookie)) == Set(1...22) && answered.allSatisfy { $0.error == 0 })
    client.request(1, cookie: 40, count: 512, sector)
    #expect(client.simpleReply()?.cookie == 40)
  }

  @Test func `a fence and the end of the server do not wait for what is held, and it is not answered`() throws {
    for isFence in [true, false] {
      let device = AnsweringDevice()
      let server = try TestServer(["a": NBDExport(device: device)])
      defer { withExtendedLifetime(server) {} }
      let client = try WireClient(server)
      try client.go("a")
      device.hold()
      client.request(1, cookie: 1, count: 512, sector)
      client.request(3, cookie: 2)
      client.request(0, cookie: 3, count: 512)
      #expect(client.simpleReply()?.cookie == 3)
      #expect(client.receive(512) == sector)
      let began = ContinuousClock.now
      if isFence {
        server.exports.remove("a")
        server.server.closeSessions(of: "a")
      } else {
        server.server.stop()
      }
      #expect(ContinuousClock.now - began < .seconds(1.5))
      #expect(client.isEnded())
      device.goOn()
    }
  }

  @Test func `a client with too many changes that are held has to come again`() throws {
    let device = AnsweringDevice()
    var limits = NBDLimits()
    limits.heldAnswers = 8
    let server = try TestServer(["a": NBDExport(device: device)], limits: limits)
    defer { withExtendedLifetime(server) {} }
    let client = try WireClient(server)
    try client.go("a")
    device.hold()
    for cookie: UInt64 in 1...9 { client.request(1, cookie: cookie, count: 512, sector) }
    #expect(client.isEnded())
  }

  @Test func `with write-through each change is flushed before it is answered`() throws {
    let device = AnsweringDevice()
    let server = try TestServer(["a": NBDExport(device: device)])
    defer { withExtendedLifetime(server) {} }
    let client = try WireClient(server)
    try client.go("a")
    client.request(1, cookie: 1, count: 512, sector)
    #expect(client.simpleReply()?.cookie == 1 && device.flushes == 0)
    device.writeThrough()
    for (number, type) in [UInt16(1), 4, 6].enumerated() {
      client.request(type, cookie: 2, count: 512, type == 1 ? sector : [])
      #expect(client.simpleReply()?.cookie == 2 && device.flushes == number + 1)
    }
    client.request(0, cookie: 3, count: 512)
    #expect(client.simpleReply()?.cookie == 3)
    #expect(client.receive(512) == sector && device.flushes == 3)
  }
}
