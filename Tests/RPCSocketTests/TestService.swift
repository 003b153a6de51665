import Foundation
import Glibc
import Logging
import Primitives
import RPC
import RPCSocket
import Synchronization

/// Methods that only the tests have.
enum Echo: RPCMethod {
  static let name = "test.echo"
  static let summary = "Answers with what it was told."
  static let access = Access.viewer
  static let effect = Effect.read

  struct Params: WireObject, Equatable {
    var text: String
    enum CodingKeys: CodingKey, CaseIterable { case text }
    static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .text: Field(\.text, "Any text.")
      }
    }
  }
  typealias Result = Params
}

/// Answers when the test says so.
enum Wait: RPCMethod {
  static let name = "test.wait"
  static let summary = "Answers when a gate opens."
  static let access = Access.viewer
  static let effect = Effect.read
  typealias Params = Nothing
  typealias Result = Nothing
}

enum Count: RPCSubscription {
  static let name = "test.count"
  static let summary = "Counts up to a number."
  static let access = Access.viewer
  static let effect = Effect.read

  struct Params: WireObject, Equatable {
    var to: Int
    var sizeBytes: Int?
    enum CodingKeys: CodingKey, CaseIterable { case to, sizeBytes }
    static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .to: Field(\.to, "The last number; -1 for no end.")
      case .sizeBytes: Field(\.sizeBytes, "Length of the padding of each event.")
      }
    }
  }
  struct Event: WireObject, Equatable {
    var number: Int
    var padding: String?
    enum CodingKeys: CodingKey, CaseIterable { case number, padding }
    static func field(_ key: CodingKeys) -> Field<Event> {
      switch key {
      case .number: Field(\.number, "The number.")
      case .padding: Field(\.padding, "Nothing of interest.")
      }
    }
  }
}

/// Something that tasks wait for until it is opened; tells how many wait, and how many were cancelled.
actor Gate {
  private var isOpen = false
  private var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
  private var next = 0
  private(set) var entered = 0
  private(set) var cancelled = 0

  func wait() async {
    entered += 1
    guard !isOpen else { return }
    let number = next
    next += 1
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        if Task.isCancelled {
          cancelled += 1
          continuation.resume()
        } else {
          waiting[number] = continuation
        }
      }
    } onCancel: {
      Task { await self.cancel(number) }
    }
  }

  private func cancel(_ number: Int) {
    guard let continuation = waiting.removeValue(forKey: number) else { return }
    cancelled += 1
    continuation.resume()
  }

  func open() {
    isOpen = true
    for continuation in waiting.values { continuation.resume() }
    waiting = [:]
  }
}

/// Waits until something holds; gives up, so that the test fails, after ten seconds.
func eventually(_ condition: () async -> Bool) async -> Bool {
  let deadline = ContinuousClock.now + .seconds(10)
  while ContinuousClock.now < deadline {
    if await condition() { return true }
    try? await Task.sleep(for: .milliseconds(1))
  }
  return false
}

/// A server on a socket of its own, and what its handlers share with the test.
final class TestService: Sendable {
  let path: String
  let listener: Int32
  let server: RPCServer
  let gate = Gate()
  private let running = Mutex<Task<Void, any Error>?>(nil)

  init(
    limits: RPCLimits = .init(), policy: RolePolicy = .sameUserIsEverything(), listener: Int32? = nil,
    path: String? = nil
  ) throws {
    self.path = path ?? "/tmp/ftvs-test-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
    self.listener = try listener ?? Self.listen(self.path)
    var router = Router(title: "test", version: "1")
    let gate = gate
    let counter = StreamCounter()
    router.serve(Echo.self) { params, _ throws(RPCError) in params }
    router.serve(Wait.self) { _, _ throws(RPCError) in
      await gate.wait()
      return Nothing()
    }
    router.serve(Count.self) { params, _ throws(RPCError) in
      let (stream, continuation) = AsyncThrowingStream<Count.Event, any Error>.makeStream()
      let padding = params.sizeBytes.map { String(repeating: "x", count: max(0, $0)) }
      for number in stride(from: 1, through: params.to, by: 1) {
        continuation.yield(Count.Event(number: number, padding: padding))
      }
      if params.to >= 0 { continuation.finish() }
      continuation.onTermination = { _ in counter.ended.add(1, ordering: .sequentiallyConsistent) }
      // A stream without an end lives as long as its continuation.
      if params.to < 0 { counter.keep(continuation) }
      return stream
    }
    streams = counter
    server = RPCServer(
      listener: self.listener, router: router, policy: policy, limits: limits, logger: Logger(label: "test"))
  }

  let streams: StreamCounter

  final class StreamCounter: Sendable {
    let ended = Atomic(0)
    private let kept = Mutex<[AsyncThrowingStream<Count.Event, any Error>.Continuation]>([])
    func keep(_ continuation: AsyncThrowingStream<Count.Event, any Error>.Continuation) {
      kept.withLock { $0.append(continuation) }
    }
    func send(_ event: Count.Event) {
      for continuation in kept.withLock({ $0 }) { continuation.yield(event) }
    }
  }

  deinit {
    close(listener)
    unlink(path)
  }

  func start() {
    let server = server
    running.withLock { $0 = Task { try await server.run() } }
  }

  func stop() async {
    server.stop()
    let task = running.withLock { $0 }
    _ = try? await task?.value
  }

  func client(_ limits: RPCLimits = .init()) async throws -> RPCClient {
    try await RPCClient.connect(path: path, limits: limits)
  }

  static func listen(_ path: String, backlog: Int32 = 4_096) throws -> Int32 {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8).prefix(107)) }
    let result = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard descriptor >= 0, result == 0, Glibc.listen(descriptor, backlog) == 0 else {
      throw RPCError(CommonFailure.internalError, "cannot listen on \(path): \(String(cString: strerror(errno)))")
    }
    return descriptor
  }
}

/// A client that writes whatever bytes a test wants, on a blocking socket with a time-out.
final class RawSocket: Sendable {
  let descriptor: Int32

  init(_ path: String) throws {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8).prefix(107)) }
    let result = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard result == 0 else { throw RPCError(CommonFailure.unreachable, String(cString: strerror(errno))) }
    var timeout = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { close(descriptor) }

  /// Writes all of it; false when the peer has closed.
  @discardableResult
  func write(_ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        send(descriptor, $0.baseAddress?.advanced(by: sent), bytes.count - sent, Int32(MSG_NOSIGNAL))
      }
      if count <= 0 { return false }
      sent += count
    }
    return true
  }

  func write(frame text: String) { write(Self.frame(text)) }

  static func frame(_ text: String) -> [UInt8] {
    let bytes = Array(text.utf8)
    let count = UInt32(bytes.count)
    return [UInt8(count >> 24), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255)] + bytes
  }

  /// The text of the next frame; nil at the end of the stream. Waits on a thread of its own.
  func read() async -> String? {
    await withCheckedContinuation { continuation in
      Thread.detachNewThread { [self] in continuation.resume(returning: readNow()) }
    }
  }

  private func readNow() -> String? {
    guard let header = read(4) else { return nil }
    let count = header.reduce(0) { $0 << 8 | Int($1) }
    return read(count).map { String(decoding: $0, as: UTF8.self) }
  }

  private func read(_ count: Int) -> [UInt8]? {
    var bytes: [UInt8] = []
    while bytes.count < count {
      var buffer = [UInt8](repeating: 0, count: min(count - bytes.count, 65_536))
      let received = recv(descriptor, &buffer, buffer.count, 0)
      if received <= 0 { return nil }
      bytes += buffer.prefix(received)
    }
    return bytes
  }

  func finishSending() { shutdown(descriptor, Int32(SHUT_WR)) }
}
