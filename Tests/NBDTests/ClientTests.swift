import BlockLayers
import Glibc
import NBD
import Primitives
import Testing

/// Our client against our server, servers that others wrote, and servers that lie.
@Suite(.serialized) struct ClientTests {
  @Test func `what is written is read, and zeros are told`() throws {
    let device = MemoryDevice(size: 64 << 20)
    let server = try TestServer(["a": NBDExport(device: device)])
    defer { withExtendedLifetime(server) {} }
    let client = try NBDClient(socketPath: server.socketPath, export: "a")
    #expect(client.size == 64 << 20)
    #expect(!client.isReadOnly)
    var random = SeededGenerator(seed: 1)
    // More than fits into one request.
    let piece = (0..<4096).map { _ in UInt8.random(in: 1...255, using: &random) }
    let content = [UInt8](repeatElement(piece, count: (10 << 20) / piece.count).joined())
    try client.write(content, at: 512)
    try client.writeZeroes(at: 8 << 20, count: 1 << 20)
    try client.trim(at: 63 << 20, count: 4096)
    try client.flush()
    let stored = device.content
    let untouched = (8 << 20) - 512
    #expect(stored[512..<512 + untouched] == content[..<untouched])
    let read = try client.bytes(at: 512, count: content.count)
    #expect(read[...] == stored[512..<512 + content.count])
    #expect(device.flushes > 0)
    client.close()
    #expect(throws: BlockError.self) { try client.flush() }
  }

  @Test func `contexts that are there are told, others are left out`() throws {
    let name = "qemu:dirty-bitmap:one"
    let server = try TestServer([
      "a": NBDExport(device: MemoryDevice(size: 1 << 20), contexts: [DirtyContext(name: name, dirty: 512..<1024)])
    ])
    defer { withExtendedLifetime(server) {} }
    let client = try NBDClient(socketPath: server.socketPath, export: "a", contexts: [name, "qemu:dirty-bitmap:two"])
    #expect(client.has(name) && client.has("base:allocation") && !client.has("qemu:dirty-bitmap:two"))
    let extents = try client.extents(of: name, at: 0, count: 1 << 20)
    let counts: [Int64] = [512, 512, (1 << 20) - 1024]
    #expect(extents.map(\.count) == counts)
    #expect(extents.map(\.flags) == [0, 1, 0])
    #expect(throws: BlockError.self) { try client.extents(of: "qemu:dirty-bitmap:two", at: 0, count: 512) }
  }

  @Test func `a refusal and an error come with the server's words`() throws {
    let plan = FaultPlan()
    plan.add(.init(.read, .error(EIO)))
    let server = try TestServer(["a": NBDExport(device: FaultDevice(MemoryDevice(size: 1 << 20), plan))])
    defer { withExtendedLifetime(server) {} }
    let refused = #expect(throws: BlockError.self) {
      try NBDClient(socketPath: server.socketPath, export: "secret")
    }
    #expect(refused.map { "\($0)".contains("not yours") } == true)
    #expect(throws: BlockError.self) { try NBDClient(socketPath: "/nowhere.sock", export: "a") }
    let client = try NBDClient(socketPath: server.socketPath, export: "a")
    let failed = #expect(throws: BlockError.self) { try client.bytes(at: 0, count: 512) }
    #expect(failed?.errno == EIO)
    try client.flush()
    #expect(throws: BlockError.self) { try client.bytes(at: 1 << 20, count: 512) }
  }

  @Test(arguments: [["--no-sr"], []]) func `nbdkit is read and written, with and without structured replies`(
    _ options: [String]
  ) throws {
    let server = try PeerServer(["nbdkit", "-f", "-U", "SOCKET"] + options + ["memory", "16M"])
    defer { withExtendedLifetime(server) {} }
    let client = try NBDClient(socketPath: server.socketPath, export: "")
    try client.write([UInt8](repeating: 7, count: 4096), at: 1 << 20)
    try client.flush()
    #expect(try client.bytes(at: (1 << 20) - 512, count: 512) == [UInt8](repeating: 0, count: 512))
    #expect(try client.bytes(at: 1 << 20, count: 512) == [UInt8](repeating: 7, count: 512))
    let extents = try client.extents(at: 0, count: client.size)
    #expect(extents.first?.readsAsZero == options.isEmpty)
    client.close()
  }

  @Test func `a dirty bitmap of qemu is read`() throws {
    let disk = try TemporaryFile()
    _ = try run("qemu-img", "create", "-q", "-f", "qcow2", disk.path, "16M")
    _ = try run("qemu-img", "bitmap", "--add", disk.path, "b0")
    _ = try run("qemu-io", "-f", "qcow2", "-c", "write -P 5 3M 64k", disk.path)
    let server = try PeerServer([
      "qemu-nbd", "-r", "-t", "-x", "e", "-f", "qcow2", "-k", "SOCKET", "-B", "b0", disk.path,
    ])
    defer { withExtendedLifetime(server) {} }
    let name = "qemu:dirty-bitmap:b0"
    let client = try NBDClient(socketPath: server.socketPath, export: "e", contexts: [name])
    #expect(client.isReadOnly && client.has(name))
    let extents = try client.extents(of: name, at: 0, count: client.size)
    let counts: [Int64] = [3 << 20, 64 << 10, (13 << 20) - (64 << 10)]
    #expect(extents.map(\.count) == counts)
    #expect(extents.map(\.flags) == [0, 1, 0])
    #expect(try client.bytes(at: 3 << 20, count: 512) == [UInt8](repeating: 5, count: 512))
  }

  @Test func `servers that lie never trap the client`() throws {
    let seed = getenv("FTVS_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1
    var random = SeededGenerator(seed: seed)
    let honest = try Self.recorded()
    for round in 0..<400 {
      var bytes = honest
      switch round % 3 {
      case 0: bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
      case 1:
        for _ in 0..<Int.random(in: 1...6, using: &random) {
          bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
      default:
        let start = Int.random(in: 0..<bytes.count, using: &random)
        bytes.replaceSubrange(start..., with: (0..<200).map { _ in UInt8.random(in: 0...255, using: &random) })
      }
      let liar = try Liar(saying: bytes)
      defer { withExtendedLifetime(liar) {} }
      do throws(BlockError) {
        let client = try NBDClient(socketPath: liar.socketPath, export: "a", contexts: ["qemu:dirty-bitmap:one"])
        _ = try? client.bytes(at: 0, count: 4096)
        _ = try? client.extents(at: 0, count: min(client.size, 1 << 20))
        try? client.flush()
      } catch {
        #expect(error.kind != .misuse, "FTVS_SEED=\(seed), round \(round): \(error)")
      }
    }
  }

  /// What an honest server says to the calls of the test above.
  private static func recorded() throws -> [UInt8] {
    let magic: [UInt8] = [0x00, 0x03, 0xe8, 0x89, 0x04, 0x55, 0x65, 0xa9]
    func reply(_ option: UInt32, _ type: UInt32, _ data: [UInt8] = []) -> [UInt8] {
      magic + big(option) + big(type) + big(UInt32(data.count)) + data
    }
    func chunk(_ cookie: UInt64, _ kind: UInt16, _ data: [UInt8]) -> [UInt8] {
      big(UInt32(0x668e_33ef)) + big(UInt16(1)) + big(kind) + big(cookie) + big(UInt32(data.count)) + data
    }
    let context: [UInt8] = big(UInt32(1)) + Array("base:allocation".utf8)
    let info: [UInt8] = big(UInt16(0)) + big(UInt64(1 << 20)) + big(UInt16(5))
    let data: [UInt8] = big(UInt64(0)) + [UInt8](repeating: 9, count: 4096)
    let status: [UInt8] = big(UInt32(1)) + big(UInt32(1 << 20)) + big(UInt32(3))
    let parts: [[UInt8]] = [
      Array("NBDMAGICIHAVEOPT".utf8), big(UInt16(3)), reply(8, 1), reply(10, 4, context), reply(10, 1),
      reply(7, 3, info), reply(7, 1), chunk(1, 1, data), chunk(2, 5, status), chunk(3, 0, []),
    ]
    return Array(parts.joined())
  }
}

extension NBDClient {
  fileprivate func bytes(at offset: Int64, count: Int) throws(BlockError) -> [UInt8] {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 4096)
    defer { buffer.deallocate() }
    try read(into: buffer, at: offset)
    return Array(buffer)
  }

  fileprivate func write(_ bytes: [UInt8], at offset: Int64) throws {
    try bytes.withUnsafeBytes { try write($0, at: offset) }
  }
}

/// Says what it was told to say to whoever connects, and listens to nothing.
private final class Liar {
  let socketPath: String
  private let listener: Int32
  private let thread: ThreadGroup

  init(saying bytes: [UInt8]) throws {
    socketPath = "/tmp/ftvs-liar-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
    let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    self.listener = listener
    try TestServer.withAddress(socketPath) { #expect(bind(listener, $0, $1) == 0) }
    #expect(listen(listener, 1) == 0)
    thread = ThreadGroup()
    thread.start {
      let client = accept(listener, nil, nil)
      guard client >= 0 else { return }
      bytes.withUnsafeBytes { _ = Glibc.send(client, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      // What the client says is taken, so that it is not held up.
      shutdown(client, Int32(SHUT_WR))
      var buffer = [UInt8](repeating: 0, count: 4096)
      while recv(client, &buffer, buffer.count, 0) > 0 {}
      close(client)
    }
  }

  deinit {
    shutdown(listener, Int32(SHUT_RDWR))
    thread.join()
    close(listener)
    unlink(socketPath)
  }
}

/// A file that is removed with the object.
private final class TemporaryFile {
  let path: String

  init() throws {
    path = "/tmp/ftvs-nbd-\(getpid())-\(UInt32.random(in: 0 ... .max)).img"
  }

  deinit { unlink(path) }
}

/// A server that somebody else wrote; ends with the object. `SOCKET` among its arguments stands for its socket.
private final class PeerServer {
  let socketPath = "/tmp/ftvs-peer-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
  private var pid = pid_t()

  init(_ arguments: [String]) throws {
    let arguments = arguments.map { $0 == "SOCKET" ? socketPath : $0 }
    var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    try #require(
      posix_spawnp(&pid, arguments[0], nil, nil, &words, environ) == 0,
      "\(arguments[0]) is not installed: apt-get install qemu-utils nbdkit")
    for _ in 0..<500 where !isListening { usleep(10_000) }
    try #require(isListening, "\(arguments[0]) does not listen")
  }

  /// The socket is there before its server listens.
  private var isListening: Bool {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var isConnected = false
    try? TestServer.withAddress(socketPath) { isConnected = connect(descriptor, $0, $1) == 0 }
    return isConnected
  }

  deinit {
    kill(pid, SIGKILL)
    waitpid(pid, nil, 0)
    unlink(socketPath)
  }
}
