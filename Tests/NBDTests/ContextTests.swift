import BlockLayers
import Glibc
import NBD
import Testing

/// A context that tells the same of every range.
struct FixedContext: NBDMetadataContext {
  var name: String
  var answer: [NBDContextExtent] = [NBDContextExtent(count: 512, flags: 1), NBDContextExtent(count: 1 << 40, flags: 0)]
  var error: BlockError?

  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [NBDContextExtent] {
    if let error { throw error }
    return answer
  }
}

/// A context with flag 1 on a range of bytes.
struct DirtyContext: NBDMetadataContext {
  var name: String
  var dirty: Range<Int64>

  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [NBDContextExtent] {
    let bounds = [offset, dirty.lowerBound, dirty.upperBound, offset + count]
      .map { min(max($0, offset), offset + count) }
    return zip(bounds, bounds.dropFirst()).enumerated().compactMap { index, ends in
      ends.0 < ends.1 ? NBDContextExtent(count: ends.1 - ends.0, flags: index == 1 ? 1 : 0) : nil
    }
  }
}

@Suite struct ContextTests {
  let one = "qemu:dirty-bitmap:one"
  let two = "qemu:dirty-bitmap:two"

  func server(_ contexts: [FixedContext], limits: NBDLimits = .init()) throws -> TestServer {
    try TestServer(
      ["a": NBDExport(device: MemoryDevice(size: 1 << 20), contexts: contexts)], limits: limits)
  }

  /// A client that has agreed on structured replies.
  func structured(_ server: TestServer) throws -> WireClient {
    let client = try WireClient(server)
    try client.greet()
    client.option(8)
    #expect(try client.finalReply() == 1)
    return client
  }

  @Test func `a listing shows all contexts, those under a prefix, or the one of a name`() throws {
    let client = try structured(server([FixedContext(name: one), FixedContext(name: two)]))
    let listings: [([String], [String])] = [
      ([], ["base:allocation", one, two]), (["base:"], ["base:allocation"]), (["qemu:"], [one, two]),
      (["qemu:dirty-bitmap:"], [one, two]), ([two], [two]), (["qemu:dirty-bitmap:t", "x:", "", ":"], []),
      (["qemu:", one, "base:allocation"], ["base:allocation", one, two]),
    ]
    for (queries, names) in listings {
      let reply = try client.contexts(9, "a", queries)
      #expect(reply.contexts.map(\.name) == names && reply.final == 1, "\(queries)")
      #expect(reply.contexts.allSatisfy { $0.id == 0 })
    }
  }

  @Test func `only whole names choose contexts, and the last choice counts`() throws {
    let client = try structured(server([FixedContext(name: one), FixedContext(name: two)]))
    #expect(try client.contexts(10, "a", ["base:", "qemu:", "qemu:dirty-bitmap:", "none:x"]).contexts.isEmpty)
    let both = try client.contexts(10, "a", [two, one, two, "base:allocation"]).contexts
    #expect(both.map(\.name) == ["base:allocation", one, two])
    #expect(Set(both.map(\.id)).count == 3)
    let last = try #require(try client.contexts(10, "a", [two]).contexts.first)
    try client.open("a")
    client.request(7, cookie: 5, count: 4096)
    let chunk = try #require(client.chunk())
    #expect(chunk.type == 5 && chunk.isLast && number(chunk.data[0..<4]) == UInt64(last.id))
  }

  @Test func `block status answers one chunk for each context`() throws {
    let client = try structured(server([FixedContext(name: one)]))
    let chosen = try client.contexts(10, "a", ["base:allocation", one]).contexts
    try client.open("a")
    client.request(7, cookie: 5, count: 4096)
    let chunks = [try #require(client.chunk()), try #require(client.chunk())]
    #expect(chunks.map(\.isLast) == [false, true])
    #expect(chunks.map { number($0.data[0..<4]) } == chosen.map { UInt64($0.id) })
    #expect(chunks[0].extents == [NBDContextExtent(count: 4096, flags: 0)])
    // What the context says of bytes behind the range is not sent.
    #expect(
      chunks[1].extents == [NBDContextExtent(count: 512, flags: 1), NBDContextExtent(count: 3584, flags: 0)])
  }

  @Test func `who asks for one extent gets one of each context`() throws {
    let client = try structured(server([FixedContext(name: one)]))
    _ = try client.contexts(10, "a", ["base:allocation", one])
    try client.open("a")
    client.request(7, flags: 8, count: 4096)
    #expect(try #require(client.chunk()).extents == [NBDContextExtent(count: 4096, flags: 0)])
    #expect(try #require(client.chunk()).extents == [NBDContextExtent(count: 512, flags: 1)])
  }

  @Test func `no more extents are sent than the limit, and neighbours of the same flags are one`() throws {
    var many: [NBDContextExtent] = []
    for index in 0..<4000 as Range<UInt32> { many.append(NBDContextExtent(count: 16, flags: index / 2)) }
    let client = try structured(server([FixedContext(name: one, answer: many)]))
    _ = try client.contexts(10, "a", [one])
    try client.open("a")
    client.request(7, count: 1 << 20)
    let extents = try #require(client.chunk()).extents
    #expect(extents.count == NBDContextExtent.limit)
    #expect(extents.allSatisfy { $0.count == 32 })
  }

  @Test func `a context that fails or says nothing is an error of its request alone`() throws {
    let failing = FixedContext(name: one, error: BlockError(.io, "no bitmap"))
    let empty = FixedContext(name: two, answer: [])
    for context in [failing, empty, FixedContext(name: one, answer: [NBDContextExtent(count: -1, flags: 0)])] {
      let client = try structured(server([context]))
      _ = try client.contexts(10, "a", [context.name])
      try client.open("a")
      client.request(7, cookie: 2, count: 4096)
      let chunk = try #require(client.chunk())
      #expect(chunk.type == 0x8001 && chunk.isLast && number(chunk.data[0..<4]) == UInt64(EIO))
      client.request(3, cookie: 3)
      #expect(try #require(client.simpleReply()) == (0, 3))
    }
  }

  @Test func `contexts chosen for another export do not count`() throws {
    let export = NBDExport(device: MemoryDevice(size: 4096), contexts: [FixedContext(name: one)])
    let client = try structured(TestServer(["a": export, "b": export]))
    _ = try client.contexts(10, "a", [one])
    try client.open("b")
    client.request(7, count: 4096)
    #expect(try #require(client.chunk()).type == 0x8001)
  }

  @Test func `a context that is gone when the export is opened is an error of block status`() throws {
    let server = try server([FixedContext(name: one)])
    let client = try structured(server)
    _ = try client.contexts(10, "a", [one])
    server.exports.set("a", NBDExport(device: MemoryDevice(size: 1 << 20)))
    try client.open("a")
    client.request(7, count: 4096)
    #expect(try #require(client.chunk()).type == 0x8001)
  }

  @Test func `contexts whose names are of no use are not offered`() throws {
    let names = ["", "noNamespace", ":x", "x:", one, one, "base:allocation"]
    let client = try structured(server(names.map { FixedContext(name: $0) }))
    #expect(try client.contexts(9, "a", []).contexts.map(\.name) == ["base:allocation", one])
  }

  @Test func `more queries or contexts than the limits allow are refused as too big`() throws {
    var limits = NBDLimits()
    (limits.contextQueries, limits.contexts) = (3, 1)
    let client = try structured(server([FixedContext(name: one)], limits: limits))
    #expect(try client.contexts(9, "a", ["a:b", "a:c", "a:d", "a:e"]).final == 0x8000_0009)
    #expect(try client.contexts(10, "a", [one, "base:allocation"]).final == 0x8000_0009)
    #expect(try client.contexts(10, "x", [one]).final == 0x8000_0006)
    #expect(try client.contexts(10, "a", [one]).final == 1)
  }
}
