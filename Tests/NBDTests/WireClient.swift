import Glibc
import NBD
import Testing

/// A client that says exactly what a test wants.
final class WireClient {
  let descriptor: Int32
  /// Stays as long as its client.
  private let server: TestServer

  /// - Parameter viaPair: whether the server is handed one end of a pair instead of accepting the client.
  init(_ server: TestServer, viaPair: Bool = false) throws {
    self.server = server
    descriptor = try viaPair ? server.pair() : server.connect()
    var time = timeval(tv_sec: 20, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { close(descriptor) }

  func send(_ bytes: [UInt8]) { Self.send(bytes, to: descriptor) }

  /// Sends all, or as much as the other side takes before it leaves; then false.
  @discardableResult
  static func send(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress.map { $0 + done }, bytes.count - done, Int32(MSG_NOSIGNAL))
      }
      if count <= 0 { return false }
      done += count
    }
    return true
  }

  /// Nil at the end of the connection.
  func receive(_ count: Int) -> [UInt8]? {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: max(count, 1))
    while bytes.count < count {
      let received = recv(descriptor, &chunk, count - bytes.count, 0)
      if received <= 0 { return nil }
      bytes += chunk[..<received]
    }
    return bytes
  }

  /// Takes whatever comes until the server ends the connection.
  func receiveToEnd() {
    withUnsafeTemporaryAllocation(byteCount: 1 << 18, alignment: 16) { buffer in
      while recv(descriptor, buffer.baseAddress, buffer.count, 0) > 0 {}
    }
  }

  /// Whether this many bytes wait to be received, within half a second.
  func hasReceived(_ count: Int) -> Bool {
    let end = ContinuousClock.now + .milliseconds(500)
    var waiting: Int32 = 0
    repeat {
      guard ioctl(descriptor, UInt(FIONREAD), &waiting) == 0 else { return false }
      if waiting >= count { return true }
      sched_yield()
    } while ContinuousClock.now < end
    return false
  }

  /// Whether the server ended the connection within this time, without taking what it sent.
  func isHungUp(within milliseconds: Int32) -> Bool {
    var watched = pollfd(fd: descriptor, events: 0, revents: 0)
    return poll(&watched, 1, milliseconds) > 0
  }

  /// Whether the server ended the connection.
  func isEnded() -> Bool { receive(1) == nil }

  func greet(flags: UInt32 = 3) throws {
    let greeting = try #require(receive(18))
    #expect(Array(greeting[0..<8]) == Array("NBDMAGIC".utf8))
    send(big(flags))
  }

  func option(_ number: UInt32, _ data: [UInt8] = []) {
    send(Array("IHAVEOPT".utf8) + big(number) + big(UInt32(data.count)) + data)
  }

  /// Type and data of the answer to an option.
  func optionReply() -> (type: UInt32, data: [UInt8])? {
    guard let header = receive(20) else { return nil }
    let length = number(header[16..<20])
    return receive(Int(length)).map { (UInt32(number(header[12..<16])), $0) }
  }

  /// Answers up to the one that ends the option.
  func finalReply() throws -> UInt32 {
    while true {
      let reply = try #require(optionReply())
      if reply.type == 1 || reply.type >= 0x8000_0000 { return reply.type }
    }
  }

  func go(_ name: String, structured: Bool = false) throws {
    try greet()
    if structured {
      option(8)
      #expect(try finalReply() == 1)
    }
    try open(name)
  }

  /// Opens an export after the options that a test wanted.
  func open(_ name: String) throws {
    option(7, big(UInt32(name.utf8.count)) + Array(name.utf8) + big(UInt16(0)))
    #expect(try finalReply() == 1)
  }

  /// Lists (9) or chooses (10) metadata contexts.
  func contexts(
    _ number: UInt32, _ export: String, _ queries: [String]
  ) throws -> (contexts: [(id: UInt32, name: String)], final: UInt32) {
    var data = big(UInt32(export.utf8.count)) + Array(export.utf8) + big(UInt32(queries.count))
    for query in queries { data += big(UInt32(query.utf8.count)) + Array(query.utf8) }
    option(number, data)
    var contexts: [(id: UInt32, name: String)] = []
    while true {
      let reply = try #require(optionReply())
      guard reply.type == 4 else { return (contexts, reply.type) }
      contexts.append((UInt32(NBDTests.number(reply.data[0..<4])), String(decoding: reply.data[4...], as: UTF8.self)))
    }
  }

  func request(
    _ type: UInt16, flags: UInt16 = 0, cookie: UInt64 = 1, offset: UInt64 = 0, count: UInt32 = 0,
    _ payload: [UInt8] = []
  ) {
    send(Self.bytes(type, flags: flags, cookie: cookie, offset: offset, count: count) + payload)
  }

  /// A request without a payload.
  static func bytes(
    _ type: UInt16, flags: UInt16 = 0, cookie: UInt64 = 1, offset: UInt64 = 0, count: UInt32 = 0
  ) -> [UInt8] {
    big(UInt32(0x2560_9513)) + big(flags) + big(type) + big(cookie) + big(offset) + big(count)
  }

  /// Error and cookie of a simple answer.
  func simpleReply() -> (error: UInt32, cookie: UInt64)? {
    guard let reply = receive(16), number(reply[0..<4]) == 0x6744_6698 else { return nil }
    return (UInt32(number(reply[4..<8])), number(reply[8..<16]))
  }
}

/// A chunk of a structured answer.
struct Chunk {
  var isLast: Bool
  var type: UInt64
  var cookie: UInt64
  var data: [UInt8]

  /// What a block status chunk tells.
  var extents: [NBDContextExtent] {
    stride(from: 4, to: data.count, by: 8).map {
      NBDContextExtent(
        count: Int64(clamping: number(data[$0..<$0 + 4])), flags: UInt32(number(data[$0 + 4..<$0 + 8])))
    }
  }
}

extension WireClient {
  /// The next chunk; nil when it is none.
  func chunk() -> Chunk? {
    guard let header = receive(20), number(header[0..<4]) == 0x668e_33ef else { return nil }
    guard let data = receive(Int(number(header[16..<20]))) else { return nil }
    return Chunk(
      isLast: header[5] & 1 == 1, type: number(header[6..<8]), cookie: number(header[8..<16]), data: data)
  }
}

func big<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
