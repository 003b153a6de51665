import Foundation
import RPC
import Testing

@testable import VMMonitorCore

@Suite struct QMPMessageTests {
  @Test func messagesAreToldApart() {
    func read(_ text: String) -> QMPMessage? { QMPMessage(line: Array(text.utf8)[...]) }
    #expect(read(#"{"QMP": {"version": {}, "capabilities": ["oob"]}}"#) == .greeting)
    #expect(read(#"{"return": {}, "id": 7}"#) == .result(id: 7, [:]))
    #expect(
      read(#"{"error": {"class": "GenericError", "desc": "no"}, "id": 8}"#) == .failure(id: 8, description: "no"))
    #expect(
      read(#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#) == .event(name: "STOP", data: [:]))
    #expect(read("{}") == nil)
    #expect(read("nonsense") == nil)
  }

  @Test func linesAreCutWhereverTheBytesAre() {
    let text = Array("{\"a\":1}\r\n{\"b\":2}\r\n".utf8)
    for cut in 0...text.count {
      var splitter = LineSplitter()
      let lines = (splitter.add(Array(text[..<cut])) ?? []) + (splitter.add(Array(text[cut...])) ?? [])
      #expect(lines.map { String(decoding: $0, as: UTF8.self) } == ["{\"a\":1}", "{\"b\":2}"])
    }
  }

  @Test func aLineWithoutEndIsRefused() {
    var splitter = LineSplitter()
    #expect(splitter.add([UInt8](repeating: 0x20, count: LineSplitter.limit + 1)) == nil)
  }
}

/// The client against a QEMU that is none.
@Suite(.timeLimit(.minutes(1))) struct QMPClientTests {
  private static let greeting = #"{"QMP": {"version": {}, "capabilities": []}}"#

  private func connected(_ server: FakeQMPServer, answerTime: Duration = .seconds(5)) async throws -> QMPClient {
    let reactor = try #require(SocketReactor())
    return try await QMPClient.connect(
      path: server.path, reactor: reactor, patience: .seconds(5), answerTime: answerTime)
  }

  @Test func aCommandGetsItsAnswerThoughEventsComeBetween() async throws {
    let server = try FakeQMPServer(greeting: Self.greeting) { command in
      command.contains("query-status")
        ? [#"{"event": "RESUME", "timestamp": {}}"#, #"{"return": {"status": "running"}, "id": ID}"#]
        : [#"{"return": {}, "id": ID}"#]
    }
    let client = try await connected(server)
    #expect(try await client.execute("query-status")["status"] == "running")
    var events = client.events.makeAsyncIterator()
    #expect(await events.next()?.name == "RESUME")
  }

  @Test func anErrorIsPassedOn() async throws {
    let server = try FakeQMPServer(greeting: Self.greeting) { command in
      command.contains("cont")
        ? [#"{"error": {"class": "x", "desc": "broken"}, "id": ID}"#] : [#"{"return": {}, "id": ID}"#]
    }
    let client = try await connected(server)
    await #expect(throws: QMPClient.Failure.refused("broken")) { try await client.execute("cont") }
  }

  @Test func silenceIsATimeout() async throws {
    let server = try FakeQMPServer(greeting: Self.greeting) { command in
      command.contains("cont") ? [] : [#"{"return": {}, "id": ID}"#]
    }
    let client = try await connected(server, answerTime: .milliseconds(200))
    await #expect(throws: QMPClient.Failure.timedOut(command: "cont")) { try await client.execute("cont") }
  }

  @Test func theEndOfTheConnectionEndsCommandsAndEvents() async throws {
    let server = try FakeQMPServer(greeting: Self.greeting) { command in
      command.contains("quit") ? ["CLOSE"] : [#"{"return": {}, "id": ID}"#]
    }
    let client = try await connected(server)
    await #expect(throws: QMPClient.Failure.self) { try await client.execute("quit") }
    for await _ in client.events {}
  }

  @Test func garbageEndsTheConnection() async throws {
    let server = try FakeQMPServer(greeting: Self.greeting) { command in
      command.contains("cont") ? ["]]]"] : [#"{"return": {}, "id": ID}"#]
    }
    let client = try await connected(server)
    await #expect(throws: QMPClient.Failure.self) { try await client.execute("cont") }
  }

  @Test func nobodyListeningIsSaidAfterTheWait() async throws {
    let reactor = try #require(SocketReactor())
    await #expect(throws: QMPClient.Failure.self) {
      try await QMPClient.connect(
        path: "/nonexistent/socket", reactor: reactor, patience: .milliseconds(20), answerTime: .seconds(5))
    }
  }
}

/// Accepts one connection and answers line by line, on a thread of its own. `ID` in an answer is the command's number.
final class FakeQMPServer: Sendable {
  let path: String

  init(greeting: String, answers: @escaping @Sendable (String) -> [String]) throws {
    path = NSTemporaryDirectory() + "qmp-\(UUID().uuidString.prefix(8)).sock"
    let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard result == 0, listen(listener, 1) == 0 else { throw CocoaError(.fileWriteUnknown) }
    Thread.detachNewThread {
      let connection = accept(listener, nil, nil)
      defer { close(listener) }
      guard let stream = fdopen(connection, "r+") else {
        close(connection)
        return
      }
      var line: UnsafeMutablePointer<CChar>?
      var capacity = 0
      defer {
        free(line)
        fclose(stream)
      }
      func say(_ text: String) {
        let bytes = Array((text + "\r\n").utf8)
        _ = send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
      }
      say(greeting)
      while getline(&line, &capacity, stream) > 0, let text = line.map({ String(cString: $0) }) {
        let id = (try? JSON.parse(text.trimmingCharacters(in: .whitespacesAndNewlines)))?["id"]?.integer ?? 0
        for answer in answers(text) {
          if answer == "CLOSE" { return }
          say(answer.replacingOccurrences(of: "ID", with: "\(id)"))
        }
      }
    }
  }

  deinit { unlink(path) }
}
