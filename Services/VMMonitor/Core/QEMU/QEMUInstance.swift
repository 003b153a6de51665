import DomainXML
import Glibc
import Primitives
import RPC

/// A QEMU process.
final class QEMUInstance: VMInstance {
  let engine: String
  let events: AsyncStream<EngineEvent>
  private let client: QMPClient
  private let agent: GuestAgent?

  /// Largest picture that fits into an answer, which holds it in base64.
  private static let pictureBytes = 10 << 20

  init(_ client: QMPClient, agent: GuestAgent? = nil, engine: String) {
    self.client = client
    self.agent = agent
    self.engine = engine
    let (events, source) = AsyncStream<EngineEvent>.makeStream(bufferingPolicy: .bufferingNewest(256))
    self.events = events
    // Ends with the connection; holds the client's stream, not the client.
    let incoming = client.events
    Task {
      for await event in incoming {
        if let event = EngineEvent(event) { source.yield(event) }
      }
      source.finish()
    }
  }

  func status() async throws(EngineError) -> EngineStatus {
    do {
      let answer = try await client.execute("query-status")
      switch answer["status"]?.string {
      case "running": return .running
      case "prelaunch", "inmigrate", "preconfig": return .waiting
      case "shutdown": return .ended
      default: return .paused
      }
    } catch { throw EngineError(error) }
  }

  func resume() async throws(EngineError) { try await execute("cont") }

  func pause() async throws(EngineError) { try await execute("stop") }

  func setMemory(bytes: Int64) async throws(EngineError) {
    do { _ = try await client.execute("balloon", ["value": .integer(bytes)]) } catch { throw EngineError(error) }
  }

  func powerDown() async throws(EngineError) { try await execute("system_powerdown") }

  func reset(whereRebootEnds: Bool) async throws(EngineError) {
    guard whereRebootEnds else { return try await execute("system_reset") }
    // QEMU would take the button for a reboot by the guest, which this definition makes its end. What is to follow is
    // decided while the command is executed.
    try await execute("set-action", ["reboot": "reset"])
    let outcome: Result<Void, EngineError>
    do { outcome = .success(try await execute("system_reset")) } catch { outcome = .failure(error) }
    try await execute("set-action", ["reboot": "shutdown"])
    try outcome.get()
  }

  func interrupt() async throws(EngineError) { try await execute("inject-nmi") }

  func press(_ keys: [String], holding milliseconds: Int) async throws(EngineError) {
    let values = keys.map { ["type": "qcode", "data": .string($0)] as JSONValue }
    try await execute("send-key", ["keys": .array(values), "hold-time": .integer(Int64(milliseconds))])
  }

  func screenshot() async throws(EngineError) -> [UInt8] {
    guard let file = NamelessFile() else { throw .refused("the host has no descriptor left for a picture") }
    // QEMU writes into what it is given: it needs no path that both of us may use.
    let id = try await value("add-fd", passing: file.writer)["fdset-id"] ?? .null
    let outcome: Result<Void, EngineError>
    do {
      outcome = .success(
        try await execute("screendump", ["filename": .string("/dev/fdset/\(id.integer ?? 0)"), "format": "png"]))
    } catch { outcome = .failure(error) }
    try? await execute("remove-fd", ["fdset-id": id])
    try outcome.get()
    guard let bytes = file.contents(limit: Self.pictureBytes) else {
      throw .refused("the picture has more than \(Self.pictureBytes) bytes")
    }
    return bytes
  }

  func askAgent(
    _ command: String, _ arguments: JSONValue?, within time: Duration
  ) async throws(EngineError) -> JSONValue {
    guard let agent else { throw .notAnswering("it has no channel to a guest agent") }
    return try await agent.ask(command, arguments, within: time)
  }

  func close() { client.close() }

  // MARK: Commands

  func execute(_ command: String, _ arguments: JSONValue? = nil) async throws(EngineError) {
    _ = try await value(command, arguments)
  }

  func value(
    _ command: String, _ arguments: JSONValue? = nil, passing descriptor: Int32? = nil
  ) async throws(EngineError) -> JSONValue {
    do { return try await client.execute(command, arguments, passing: descriptor) } catch { throw EngineError(error) }
  }
}
