import BlockLayers
import Glibc
import NBD
import Testing

@Suite struct NegotiationTimeTests {
  func server() throws -> TestServer {
    var limits = NBDLimits()
    limits.negotiationSeconds = 1
    return try TestServer(["a": NBDExport(device: MemoryDevice(size: 4096))], limits: limits)
  }

  @Test func `a client that drips bytes of an option is ended in time`() throws {
    let client = try WireClient(server())
    try client.greet()
    client.send(Array("IHAVEOPT".utf8) + big(UInt32(7)) + big(UInt32(60_000)))
    var drips = 0
    while drips < 200, !client.isHungUp(within: 50) {
      client.send([0])
      drips += 1
    }
    #expect(drips < 200)
  }

  @Test func `a client that sends option after option is ended in time`() throws {
    let client = try WireClient(server())
    try client.greet()
    var options = 0
    while options < 200, !client.isHungUp(within: 50) {
      client.option(3)
      options += 1
    }
    #expect(options < 200)
  }

  @Test func `a client that takes no answers to its options is ended in time`() throws {
    let client = try WireClient(server())
    try client.greet()
    client.send((0..<3000).flatMap { _ in Array("IHAVEOPT".utf8) + big(UInt32(3)) + big(UInt32(0)) })
    #expect(client.isHungUp(within: 10_000))
  }

  @Test func `who has chosen an export may be silent for as long as it likes`() throws {
    let server = try server()
    let client = try WireClient(server)
    try client.go("a")
    // As long as another one takes to be ended.
    let silent = try WireClient(server)
    #expect(silent.isHungUp(within: 10_000))
    client.request(3)
    #expect(try #require(client.simpleReply()) == (0, 1))
  }
}
