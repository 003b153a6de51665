import BlockLayers
import FuzzSupport
import Glibc
import NBD
import Primitives

/// Servers that say anything to the NBD client: an input is all that one of them says.
@main enum NBDClientFuzzer: Fuzzer {
  private static let context = "qemu:dirty-bitmap:b"
  private static let liar = Liar()

  static func seeds() -> [[UInt8]] {
    let greeting = Array("NBDMAGICIHAVEOPT".utf8) + big(UInt16(3))
    let opened = greeting + reply(8, 1) + contexts() + reply(7, 3, info(1 << 20, 0x0D6D)) + reply(7, 1)
    let simple = greeting + reply(8, 0x8000_0001) + reply(7, 3, info(1 << 20, 0x6D)) + reply(7, 1)
    let status = big(UInt32(1)) + big(UInt32(1 << 20)) + big(UInt32(3))
    let error: [UInt8] = big(UInt32(5)) + big(UInt16(2)) + Array("no".utf8)
    let data: [UInt8] = big(UInt64(0)) + [UInt8](repeating: 9, count: 512)
    let hole: [UInt8] = big(UInt64(0)) + big(UInt32(512))
    let after = chunk(3, 0) + chunk(4, 0) + chunk(5, 0) + chunk(6, 0)
    return [
      opened + chunk(1, 1, data) + chunk(2, 5, status) + after,
      opened + chunk(1, 2, hole) + chunk(2, 5, status) + after,
      opened + chunk(1, 0x8001, error) + chunk(2, 0x8001, error) + after,
      simple + simpleReply(1, 0) + [UInt8](repeating: 9, count: 512) + simpleReply(2, 5) + simpleReply(3, 0),
      greeting + reply(8, 1) + contexts() + reply(7, 0x8000_0006, Array("none".utf8)),
      opened.dropLast(20) + reply(7, 3, info(.max, 1)) + reply(7, 1),
    ]
  }

  private static func contexts() -> [UInt8] {
    reply(10, 4, big(UInt32(1)) + Array("base:allocation".utf8)) + reply(10, 4, big(UInt32(2)) + Array(context.utf8))
      + reply(10, 1)
  }

  private static func info(_ size: UInt64, _ flags: UInt16) -> [UInt8] { big(UInt16(0)) + big(size) + big(flags) }

  private static func reply(_ option: UInt32, _ type: UInt32, _ data: [UInt8] = []) -> [UInt8] {
    big(UInt64(0x0003_e889_0455_65a9)) + big(option) + big(type) + big(UInt32(data.count)) + data
  }

  private static func chunk(_ cookie: UInt64, _ kind: UInt16, _ data: [UInt8] = []) -> [UInt8] {
    big(UInt32(0x668e_33ef)) + big(UInt16(1)) + big(kind) + big(cookie) + big(UInt32(data.count)) + data
  }

  private static func simpleReply(_ cookie: UInt64, _ error: UInt32) -> [UInt8] {
    big(UInt32(0x6744_6698)) + big(error) + big(cookie)
  }

  static func test(_ input: [UInt8]) throws {
    liar.says(input)
    let client = try NBDClient(socketPath: liar.path, export: "a", contexts: [context])
    defer { client.close() }
    guard client.size >= 4096 else { return }
    var bytes = [UInt8](repeating: 0, count: 512)
    _ = bytes.withUnsafeMutableBytes { buffer in try? client.read(into: buffer, at: 0) }
    check(try? client.extents(at: 0, count: client.size))
    if client.has(context) { _ = try? client.extents(of: context, at: 512, count: 1024) }
    _ = bytes.withUnsafeBytes { buffer in try? client.write(buffer, at: 0) }
    try? client.writeZeroes(at: 0, count: 4096)
    try? client.trim(at: 0, count: 4096)
    try? client.flush()
  }

  private static func check(_ extents: [Extent]?) {
    guard let extents else { return }
    var at: Int64 = 0
    for extent in extents {
      require(extent.offset == at && extent.count > 0, "extents are contiguous and not empty: \(extents)")
      at = extent.end
    }
    require(!extents.isEmpty, "there is an extent")
  }
}

/// Says what it was told to say to whoever connects, and listens to nothing.
private final class Liar: @unchecked Sendable {
  // `words` is touched with `monitor` held, the rest is immutable.
  let path = "/tmp/ftvs-fuzz-liar-\(getpid()).sock"
  private let listener: Int32
  private let monitor = Monitor()
  private var words: [UInt8] = []

  init() {
    listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { [listener] in
        bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    require(bound == 0 && listen(listener, 16) == 0, "a socket at \(path)")
    atexit { unlink("/tmp/ftvs-fuzz-liar-\(getpid()).sock") }
    require(IOThread.start(name: "liar") { [self] in while true { serve() } }, "a thread")
  }

  func says(_ words: [UInt8]) { monitor.locked { self.words = words } }

  private func serve() {
    let client = accept(listener, nil, nil)
    guard client >= 0 else { return }
    defer { close(client) }
    let words = monitor.locked { self.words }
    // Less than the socket holds, so that this does not wait.
    send(client, words, min(words.count, 64 << 10), Int32(MSG_NOSIGNAL))
    shutdown(client, Int32(SHUT_WR))
    withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { buffer in
      while recv(client, buffer.baseAddress, buffer.count, 0) > 0 {}
    }
  }
}
