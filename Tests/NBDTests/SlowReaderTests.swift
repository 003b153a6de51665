import Primitives
import BlockLayers
import Glibc
import NBD
import Testing

/// Clients that take no answers.
@Suite struct SlowReaderTests {
  /// More answers than a socket holds.
  let many = 3000

  @Test func `flushes are answered while other clients take no answers`() throws {
    var limits = NBDLimits()
    limits.flushThreads = 2
    let server = try TestServer(["a": NBDExport(device: MemoryDevice(size: 1 << 20))], limits: limits)
    let deaf = [try WireClient(server), try WireClient(server)]
    for client in deaf {
      try client.go("a")
      // At once: a socket holds many small pieces less well than one large one.
      client.send((0..<UInt64(many)).flatMap { WireClient.bytes(3, cookie: $0) })
    }
    let other = try WireClient(server)
    try other.go("a")
    for cookie in 0..<UInt64(many) {
      other.request(3, cookie: cookie)
      #expect(try #require(other.simpleReply()) == (0, cookie))
    }
    // Those who begin to listen get all of their answers, each once and whole.
    for client in deaf {
      var cookies: Set<UInt64> = []
      for _ in 0..<many { cookies.insert(try #require(client.simpleReply()).cookie) }
      #expect(cookies.count == many)
    }
  }

  @Test func `an answer that the socket does not take is sent once there is room`() throws {
    let server = try TestServer(["a": NBDExport(device: MemoryDevice(size: 4096))])
    let client = try WireClient(server)
    try client.go("a")
    // One at a time, until one does not arrive: it is the one that its worker could not send.
    var sent = 0
    repeat {
      client.request(3, cookie: UInt64(sent))
      sent += 1
    } while sent < many && client.hasReceived(16 * sent)
    #expect(sent < many)
    for _ in 0..<sent { #expect(try #require(client.simpleReply()).error == 0) }
    client.request(0, cookie: 1, count: 16)
    #expect(try #require(client.simpleReply()) == (0, 1))
  }

  @Test func `a server stops although clients take no answers`() throws {
    var limits = NBDLimits()
    limits.stopSeconds = 0
    let server = try TestServer(["a": NBDExport(device: MemoryDevice(size: 1 << 20))], limits: limits)
    let client = try WireClient(server)
    try client.go("a")
    client.send((0..<many).flatMap { $0 % 2 == 0 ? WireClient.bytes(3) : WireClient.bytes(0, count: 65536) })
    server.server.stop()
    #expect(server.server.sessions.isEmpty)
  }

  @Test func `a fence ends a client that takes no answers`() throws {
    let server = try TestServer(["a": NBDExport(device: MemoryDevice(size: 1 << 20))])
    let client = try WireClient(server)
    try client.go("a")
    client.send((0..<many).flatMap { $0 % 2 == 0 ? WireClient.bytes(3) : WireClient.bytes(0, count: 65536) })
    server.exports.remove("a")
    server.server.closeSessions(of: "a")
    #expect(server.server.sessions.isEmpty)
  }
}
