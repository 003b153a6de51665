import Glibc
import Primitives
import RPC
import RPCSocket
import Testing

@testable import ftvs_module

/// What a supervisor reads of an agent's heart.
@Suite(.timeLimit(.minutes(1))) struct HeartTests {
  /// The supervisor's end of a connection, and the agent's.
  private let far: Int32
  private let client: RPCClient
  private let begun = AsyncStream<Duration>.makeStream()
  private let heart: Heart

  init() throws {
    var ends: [Int32] = [-1, -1]
    try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
    far = ends[0]
    var patience = timeval(tv_sec: 20, tv_usec: 0)
    setsockopt(far, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    client = RPCClient(connected: ends[1], name: "test")
    heart = Heart(module: .cpu1, incarnation: .random()) { [begun] in begun.continuation.yield($0) }
  }

  private func read(_ count: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      var chunk = [UInt8](repeating: 0, count: count - bytes.count)
      let got = recv(far, &chunk, chunk.count, 0)
      try #require(got > 0)
      bytes += chunk[..<got]
    }
    return bytes
  }

  /// The next beat's number.
  private func beat() throws -> Int64? {
    let length = try read(4).reduce(0) { $0 << 8 | Int($1) }
    let json = try JSON.parse(try read(length))
    #expect(json["method"]?.string == "hardware.heartbeat" && json["id"] == nil)
    #expect(json["params"]?["module"]?.string == "cpu1")
    return json["params"]?["sequence"]?.integer
  }

  @Test func theFirstBeatComesAtOnceAndIsTold() async throws {
    heart.beat(over: client, every: .seconds(3600))
    #expect(try beat() == 0)
    var intervals = begun.stream.makeAsyncIterator()
    #expect(await intervals.next() == .seconds(3600))
    close(far)
  }

  @Test func beatsFollowWithoutAskingAndAreNumbered() throws {
    heart.beat(over: client, every: .milliseconds(5))
    for number in 0..<20 { #expect(try beat() == Int64(number)) }
    #expect(heart.isRegular(within: .seconds(10)))
    close(far)
  }

  @Test func anotherIntervalTakesEffectAtOnce() throws {
    heart.beat(over: client, every: .seconds(3600))
    #expect(try beat() == 0)
    heart.beat(over: client, every: .milliseconds(5))
    for number in 1..<4 { #expect(try beat() == Int64(number)) }
    close(far)
  }

  @Test func noBeatIsDueWithoutAConnection() throws {
    #expect(!heart.rest())
    #expect(heart.isRegular(within: .zero) && heart.client == nil)
    heart.beat(over: client, every: .seconds(3600))
    #expect(try beat() == 0)
    #expect(heart.client === client)
    #expect(heart.rest() && heart.isRegular(within: .zero) && heart.client == nil)
    close(far)
  }

  /// The thread goes on beating over the next one.
  @Test func aConnectionThatIsLostIsClosed() async throws {
    close(far)
    heart.beat(over: client, every: .milliseconds(1))
    while client.isOpen { await Task.yield() }
    var ends: [Int32] = [-1, -1]
    try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
    defer { close(ends[0]) }
    heart.beat(over: RPCClient(connected: ends[1], name: "next"), every: .milliseconds(1))
    var byte: UInt8 = 0
    #expect(recv(ends[0], &byte, 1, 0) == 1)
  }
}
