import Primitives
import RPC
import Synchronization

/// The agent in a guest, which QEMU lets us talk to through a socket (QEMU, docs/interop/qemu-ga.rst).
///
/// A connection for each question: the agent may be started, stopped or replaced at any time, and what it still had to say
/// to whoever asked before is passed over. QEMU serves one connection after another.
struct GuestAgent: Sendable {
  let path: String
  let reactor: SocketReactor

  /// A byte that is in no JSON text: it makes the agent forget a command that was sent in part, and marks where its
  /// answer to `guest-sync-delimited` begins.
  private static let mark: UInt8 = 0xFF
  /// Answers that wait to be looked at; a guest that sends more loses the oldest.
  private static let queue = 8

  /// Asks once.
  ///
  /// - Parameter time: how long connecting, agreeing and the answer may take together.
  func ask(
    _ command: String, _ arguments: JSONValue? = nil, within time: Duration
  ) async throws(EngineError) -> JSONValue {
    let (lines, source) = AsyncStream<[UInt8]>.makeStream(bufferingPolicy: .bufferingNewest(Self.queue))
    let splitter = Mutex(LineSplitter())
    let socket = reactor.connect(path: path) { event in
      guard case .bytes(let bytes) = event, let complete = splitter.withLock({ $0.add(bytes) }) else {
        return source.finish()
      }
      for line in complete { source.yield(Array(line)) }
    }
    guard let socket else { throw .notAnswering("it has no channel to a guest agent") }
    let timer = Task {
      try? await Task.sleep(for: time)
      source.finish()
    }
    defer {
      timer.cancel()
      socket.close()
    }
    socket.start()
    var answers = lines.makeAsyncIterator()
    try await agree(socket, &answers)
    return try await answer(to: command, arguments, socket, &answers)
  }

  /// Finds where answers to us begin: what comes before ours is for others, or an error about what they left unsaid.
  private func agree(
    _ socket: ReactorSocket, _ answers: inout AsyncStream<[UInt8]>.Iterator
  ) async throws(EngineError) {
    let number = Int64.random(in: 1...1 << 52)
    let question = Self.command("guest-sync-delimited", ["id": .integer(number)])
    guard socket.send([Self.mark] + question) else { throw Self.silence }
    while let line = await answers.next(isolation: #isolation) {
      if case .result(_, .integer(number)) = Self.message(line) { return }
    }
    throw Self.silence
  }

  private func answer(
    to command: String, _ arguments: JSONValue?, _ socket: ReactorSocket,
    _ answers: inout AsyncStream<[UInt8]>.Iterator
  ) async throws(EngineError) -> JSONValue {
    guard socket.send(Self.command(command, arguments)), let line = await answers.next(isolation: #isolation) else {
      throw Self.silence
    }
    switch Self.message(line) {
    case .result(_, let value): return value
    case .failure(_, let description): throw .refused("its guest agent says to \(command): \(description)")
    case .greeting, .event, nil: throw .refused("its guest agent answers \(command) with what is no answer")
    }
  }

  private static let silence = EngineError.notAnswering("its guest agent is silent")

  private static func message(_ line: [UInt8]) -> QMPMessage? {
    QMPMessage(line: line.lastIndex(of: mark).map { line[($0 + 1)...] } ?? line[...])
  }

  private static func command(_ name: String, _ arguments: JSONValue?) -> [UInt8] {
    var object: JSONObject = ["execute": .string(name)]
    if let arguments { object["arguments"] = arguments }
    return JSON.bytes(.object(object)) + [0x0A]
  }
}
