import BlockLayers
import Glibc
import NBD
import Testing

@Suite struct ProtocolTests {
  func memory(_ size: Int = 1 << 20, isReadOnly: Bool = false) throws -> TestServer {
    try TestServer(["a": NBDExport(device: MemoryDevice(size: size, isReadOnly: isReadOnly))])
  }

  @Test func `the old way of opening an export works with and without zeroes`() throws {
    let server = try memory()
    for (flags, length) in [(UInt32(1), 134), (3, 10)] {
      let client = try WireClient(server)
      try client.greet(flags: flags)
      client.option(1, Array("a".utf8))
      let answer = try #require(client.receive(length))
      #expect(number(answer[0..<8]) == 1 << 20)
      client.request(0, cookie: 9, offset: 0, count: 512)
      #expect(try #require(client.simpleReply()) == (0, 9))
    }
  }

  @Test func `an unknown export is refused by its kind`() throws {
    let server = try memory()
    let client = try WireClient(server)
    try client.greet()
    for (name, type) in [("x", UInt32(0x8000_0006)), ("secret", 0x8000_0002)] {
      client.option(7, big(UInt32(name.utf8.count)) + Array(name.utf8) + big(UInt16(0)))
      #expect(try client.finalReply() == type)
    }
    let old = try WireClient(server)
    try old.greet()
    old.option(1, Array("x".utf8))
    #expect(old.isEnded())
  }

  @Test func `malformed options are refused and the next one is heard`() throws {
    let client = try WireClient(memory())
    try client.greet()
    let malformed: [(UInt32, [UInt8], UInt32)] = [
      (7, [], 0x8000_0003), (7, big(UInt32(99)) + [1], 0x8000_0003),
      (6, big(UInt32(1)) + [97] + big(UInt16(3)), 0x8000_0003),
      (3, [1], 0x8000_0003), (8, [1], 0x8000_0003), (9, big(UInt32(0)) + big(UInt32(0)), 0x8000_0003),
      (5, [], 0x8000_0001), (77, [1, 2, 3], 0x8000_0001), (7, [UInt8](repeating: 0, count: 100_000), 0x8000_0009),
    ]
    for (option, data, type) in malformed {
      client.option(option, data)
      #expect(try client.finalReply() == type)
    }
    client.option(2)
    #expect(try client.finalReply() == 1)
    #expect(client.isEnded())
  }

  @Test func `invalid requests are refused by number and the connection goes on`() throws {
    let client = try WireClient(memory())
    try client.go("a")
    let size = UInt64(1 << 20)
    let invalid: [(UInt16, UInt16, UInt64, UInt32, Int, UInt32)] = [
      (0, 0, size, 512, 0, 22), (0, 0, size - 1, 2, 0, 22), (0, 0, .max, 512, 0, 22), (0, 0, 0, 0, 0, 22),
      (0, 0x8000, 0, 512, 0, 22), (0, 4, 0, 512, 0, 22), (0, 0, 0, .max, 0, 22),
      (1, 0, size, 512, 512, 28), (1, 16, 0, 512, 512, 22), (1, 0, 0, 0, 0, 22),
      (1, 0, 0, (32 << 20) + 1, (32 << 20) + 1, 22),
      (3, 0, 1, 0, 0, 22), (4, 0, size, 512, 0, 22), (5, 0, size, 512, 0, 22), (6, 0, 1, .max, 0, 28),
      (7, 0, 0, 512, 0, 22), (8, 0, 0, 512, 0, 22), (99, 0, 0, 0, 0, 22),
    ]
    for (index, (type, flags, offset, count, payload, error)) in invalid.enumerated() {
      client.request(
        type, flags: flags, cookie: UInt64(index), offset: offset, count: count, [UInt8](repeating: 1, count: payload))
      #expect(try #require(client.simpleReply()) == (error, UInt64(index)), "request \(index)")
    }
    client.request(0, cookie: 7, count: 4)
    #expect(try #require(client.simpleReply()) == (0, 7))
    #expect(client.receive(4) == [0, 0, 0, 0])
  }

  @Test func `writes to a read-only export are not permitted`() throws {
    let client = try WireClient(memory(isReadOnly: true))
    try client.go("a")
    for type in [1, 4, 6] as [UInt16] {
      client.request(type, count: 4, type == 1 ? [1, 2, 3, 4] : [])
      #expect(try #require(client.simpleReply()) == (1, 1))
    }
    client.request(3)
    #expect(try #require(client.simpleReply()) == (0, 1))
  }

  @Test func `a request without its magic number ends the connection`() throws {
    let client = try WireClient(memory())
    try client.go("a")
    client.send([UInt8](repeating: 7, count: 28))
    #expect(client.isEnded())
  }

  @Test func `a large read fails with one structured answer where the device fails`() throws {
    let plan = FaultPlan()
    plan.add(.init(.read, .error(EIO), skip: 2))
    let server = try TestServer(["a": NBDExport(device: FaultDevice(MemoryDevice(size: 4 << 20), plan))])
    let client = try WireClient(server)
    try client.go("a", structured: true)
    client.request(0, cookie: 3, count: 2 << 20)
    var types: [UInt64] = []
    while types.last != 0x8001 {
      let header = try #require(client.receive(20))
      types.append(number(header[6..<8]))
      _ = client.receive(Int(number(header[16..<20])))
    }
    #expect(types == [1, 1, 0x8001])
    client.request(3, cookie: 4)
    #expect(try #require(client.simpleReply()) == (0, 4))
  }

  @Test func `many requests sent at once are all answered`() throws {
    let client = try WireClient(memory())
    try client.go("a")
    for cookie in 0..<500 as Range<UInt64> {
      client.request(
        1, cookie: cookie, offset: cookie * 512, count: 512, [UInt8](repeating: UInt8(cookie & 255), count: 512))
      if cookie % 50 == 0 { client.request(3, cookie: 1000 + cookie) }
    }
    var cookies: Set<UInt64> = []
    for _ in 0..<510 {
      let reply = try #require(client.simpleReply())
      #expect(reply.error == 0)
      cookies.insert(reply.cookie)
    }
    #expect(cookies.count == 510)
  }

  @Test func `random bytes never stop the server`() throws {
    let server = try memory()
    var generator = SeededGenerator(seed: 5)
    for _ in 0..<300 {
      let client = try WireClient(server)
      _ = client.receive(18)
      var bytes = big(UInt32(3))
      for _ in 0..<Int.random(in: 1...8, using: &generator) {
        let data = (0..<Int.random(in: 0...40, using: &generator)).map { _ in UInt8.random(in: 0...8, using: &generator)
        }
        bytes +=
          Array("IHAVEOPT".utf8) + big(UInt32.random(in: 0...11, using: &generator)) + big(UInt32(data.count)) + data
      }
      if Bool.random(using: &generator) {
        bytes += Array("IHAVEOPT".utf8) + big(UInt32(1)) + big(UInt32(1)) + [97]
        for _ in 0..<5 {
          bytes += big(UInt32(0x2560_9513))
          bytes += (0..<24).map { _ in UInt8.random(in: 0...9, using: &generator) }
        }
      }
      client.send(bytes)
      shutdown(client.descriptor, Int32(SHUT_WR))
      while client.receive(1) != nil {}
    }
    let client = try WireClient(server)
    try client.go("a")
    client.request(3)
    #expect(try #require(client.simpleReply()) == (0, 1))
  }

  @Test func `who says nothing makes room for a connection too many, the oldest first`() throws {
    var limits = NBDLimits()
    limits.connections = 2
    let server = try TestServer(["a": NBDExport(device: MemoryDevice(size: 4096))], limits: limits)
    let oldest = try WireClient(server)
    let silent = try WireClient(server)
    let good = try WireClient(server)
    try good.go("a")
    // It may have been greeted before.
    while oldest.receive(1) != nil {}
    try silent.go("a")
    good.request(3)
    #expect(try #require(good.simpleReply()) == (0, 1))
  }

  @Test func `who was refused an export makes room for a connection too many`() throws {
    var limits = NBDLimits()
    limits.connections = 1
    let server = try TestServer(["a": NBDExport(device: MemoryDevice(size: 4096))], limits: limits)
    let refused = try WireClient(server)
    try refused.greet()
    refused.option(7, big(UInt32(4)) + Array("none".utf8) + big(UInt16(0)))
    #expect(try refused.finalReply() == 0x8000_0006)
    try WireClient(server).go("a")
    #expect(refused.isEnded())
  }

  @Test func `a connection too many is closed and the others stay`() throws {
    var limits = NBDLimits()
    limits.connections = 2
    let server = try TestServer(["a": NBDExport(device: MemoryDevice(size: 4096))], limits: limits)
    let first = try WireClient(server)
    try first.go("a")
    let second = try WireClient(server)
    try second.go("a")
    #expect(try WireClient(server).isEnded())
    first.request(3)
    #expect(try #require(first.simpleReply()) == (0, 1))
  }
}
