import BlockLayers
import Glibc
import Logging
import NBD
import Synchronization
import Testing

/// Exports by name; a name can be refused from some moment on.
final class TestExports: NBDExportProvider, Sendable {
  private let exports: Mutex<[String: NBDExport]>
  let openedBy = Mutex<[UInt32]>([])

  init(_ exports: [String: NBDExport]) { self.exports = Mutex(exports) }

  func open(name: String, peerUserID: UInt32) throws(NBDRefusal) -> NBDExport {
    openedBy.withLock { $0.append(peerUserID) }
    if name == "secret" { throw .notAllowed("not yours") }
    guard let export = exports.withLock({ $0[name] }) else { throw .unknown }
    return export
  }

  func list(peerUserID: UInt32) -> [NBDExportEntry] {
    exports.withLock { $0.map { NBDExportEntry(name: $0.key, description: $0.value.description) } }
      .sorted { $0.name < $1.name }
  }

  func remove(_ name: String) { set(name, nil) }

  func set(_ name: String, _ export: NBDExport?) { exports.withLock { $0[name] = export } }
}

/// Bytes that a seed replays.
func randomBytes(_ count: Int, seed: UInt64) -> [UInt8] {
  var generator = SeededGenerator(seed: seed)
  let words = (0..<(count + 7) / 8).map { _ in generator.next() }
  return words.withUnsafeBytes { Array($0.prefix(count)) }
}

/// A server on a socket of its own.
final class TestServer: @unchecked Sendable {
  // Immutable after the initialiser.
  let directory: String
  let socketPath: String
  let listener: Int32
  let server: NBDServer
  let exports: TestExports

  init(_ exports: [String: NBDExport], limits: NBDLimits = .init()) throws {
    var template = Array("/tmp/ftvs-nbd-XXXXXX".utf8CString)
    directory = try #require(mkdtemp(&template).map { String(cString: $0) })
    socketPath = "\(directory)/nbd.sock"
    let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    self.listener = listener
    try Self.withAddress(socketPath) { #expect(bind(listener, $0, $1) == 0) }
    #expect(listen(listener, 128) == 0)
    self.exports = TestExports(exports)
    var logger = Logger(label: "nbd-test")
    logger.logLevel = .error
    server = NBDServer(listener: listener, exports: self.exports, limits: limits, logger: logger)
    #expect(server.start())
  }

  deinit {
    server.stop()
    close(listener)
    unlink(socketPath)
    rmdir(directory)
  }

  func uri(_ name: String) -> String { "nbd+unix:///\(name)?socket=\(socketPath)" }

  func connect() throws -> Int32 {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    try Self.withAddress(socketPath) { #expect(Glibc.connect(descriptor, $0, $1) == 0) }
    return descriptor
  }

  /// The client's end of a pair of sockets whose other end is served.
  func pair() throws -> Int32 {
    var ends: [Int32] = [-1, -1]
    try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
    server.serve(ends[1])
    return ends[0]
  }

  static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Void) throws {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
    withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
  }
}

/// The result of a program.
struct Output {
  var status: Int32
  var text: String
}

/// Runs a program that the tests need and returns what it prints.
func run(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws -> Output {
  var ends: [Int32] = [0, 0]
  try #require(pipe(&ends) == 0)
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
  posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
  posix_spawn_file_actions_addclose(&actions, ends[0])
  posix_spawn_file_actions_addclose(&actions, ends[1])
  defer { posix_spawn_file_actions_destroy(&actions) }
  var pid = pid_t()
  // A tool that hangs is a failure, not a hang of the tests.
  let all = ["timeout", "60"] + arguments
  var words: [UnsafeMutablePointer<CChar>?] = all.map { strdup($0) } + [nil]
  defer { for word in words { free(word) } }
  try #require(posix_spawnp(&pid, "timeout", &actions, nil, &words, environ) == 0, sourceLocation: sourceLocation)
  close(ends[1])
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65536)
  while true {
    let count = read(ends[0], &chunk, chunk.count)
    if count <= 0 { break }
    bytes += chunk[..<count]
  }
  close(ends[0])
  var status: Int32 = 0
  waitpid(pid, &status, 0)
  let code = status & 0x7f == 0 ? (status >> 8) & 0xff : -1
  let output = Output(status: code, text: String(decoding: bytes, as: UTF8.self))
  try #require(
    code != 127, "\(arguments[0]) is not installed: apt-get install qemu-utils libnbd-bin fio",
    sourceLocation: sourceLocation)
  return output
}
