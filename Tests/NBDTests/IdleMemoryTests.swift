import BlockLayers
import Glibc
import NBD
import Testing

/// What connections cost whose clients ask for nothing.
@Suite(.timeLimit(.minutes(1))) struct IdleMemoryTests {
  private static let count = 512 << 10
  private static let connections = 48

  /// Bytes of this process in memory.
  private static func resident() throws -> Int {
    let file = open("/proc/self/statm", O_RDONLY)
    defer { close(file) }
    var text = [UInt8](repeating: 0, count: 100)
    let length = read(file, &text, text.count)
    let fields = String(decoding: text.prefix(max(length, 0)), as: UTF8.self).split(separator: " ")
    return try #require(fields.dropFirst().first.flatMap { Int($0) }) * 4096
  }

  private static func server(idleMilliseconds: Int) throws -> TestServer {
    var limits = NBDLimits()
    limits.idleMilliseconds = idleMilliseconds
    return try TestServer(["a": NBDExport(device: MemoryDevice(size: 1 << 20))], limits: limits)
  }

  private static func exchange(_ client: WireClient, _ payload: [UInt8]) throws {
    client.request(1, cookie: 1, count: UInt32(payload.count), payload)
    #expect(try #require(client.simpleReply()) == (0, 1))
    client.request(0, cookie: 2, count: UInt32(payload.count))
    #expect(try #require(client.simpleReply()) == (0, 2))
    #expect(client.receive(payload.count) == payload)
  }

  /// How much memory connections take after large requests: at once, or within a while as soon as it is little.
  private static func growth(idleMilliseconds: Int, patience: Duration) throws -> Int {
    let server = try server(idleMilliseconds: idleMilliseconds)
    let clients = try (0..<connections).map { _ in try WireClient(server) }
    for client in clients { try client.go("a") }
    let payload = randomBytes(count, seed: 1)
    let before = try resident()
    for client in clients { try exchange(client, payload) }
    let end = ContinuousClock.now + patience
    var growth = try resident() - before
    while growth > 16 << 20, ContinuousClock.now < end {
      usleep(10_000)
      growth = try resident() - before
    }
    // It serves as before.
    for client in clients { try exchange(client, payload) }
    return growth
  }

  @Test func `an idle connection gives back the memory of large requests, and not before`() throws {
    #expect(try Self.growth(idleMilliseconds: 60_000, patience: .zero) > 36 << 20)
    #expect(try Self.growth(idleMilliseconds: 100, patience: .seconds(10)) <= 16 << 20)
  }

  @Test func `requests in parts are whole whatever the pauses between them`() throws {
    let server = try Self.server(idleMilliseconds: 20)
    let client = try WireClient(server)
    try client.go("a")
    let payload = randomBytes(Self.count, seed: 2)
    try Self.exchange(client, payload)
    let request = WireClient.bytes(1, cookie: 3, offset: 4096, count: UInt32(payload.count)) + payload
    var sent = 0
    for end in [1, 27, 40, 200_000, 400_001, request.count] {
      usleep(60_000)
      client.send(Array(request[sent..<end]))
      sent = end
    }
    #expect(try #require(client.simpleReply()) == (0, 3))
    client.request(0, cookie: 4, offset: 4096, count: UInt32(payload.count))
    #expect(try #require(client.simpleReply()) == (0, 4))
    #expect(client.receive(payload.count) == payload)
  }

  @Test func `a flush is answered while its client is idle`() throws {
    let plan = FaultPlan()
    plan.add(.init(.flush, .delay(microseconds: 200_000)))
    var limits = NBDLimits()
    limits.idleMilliseconds = 20
    let device = FaultDevice(MemoryDevice(size: 1 << 20), plan)
    let client = try WireClient(TestServer(["a": NBDExport(device: device)], limits: limits))
    try client.go("a")
    try Self.exchange(client, randomBytes(Self.count, seed: 3))
    for cookie in 5..<UInt64(8) {
      client.request(3, cookie: cookie)
      #expect(try #require(client.simpleReply()) == (0, cookie))
    }
  }
}
