import Glibc
import Primitives
import RPC

/// One client's connection to one service: a request is repeated on a new connection after a cut, and a cut of an idle connection
/// is followed by a request, so that each loss of the service is measured.
///
/// It speaks the wire by itself, without the client library, so that the gap it measures is the host's alone.
final class Lane {
  /// A request, the same bytes at every repeat.
  struct Request {
    var method: String
    var params: JSONValue
    /// What the answer is noted under, where the request has an effect.
    var subject: String?
  }

  /// What was met.
  struct Record: Sendable {
    var calls = 0
    /// Connections that ended before the answer: allowed.
    var cuts = 0
    /// Connections refused while the host was up: never allowed.
    var refusals = 0
    /// From the first failed byte to the next answer, in milliseconds.
    var gaps: [Double] = []
    /// Answers to requests with an effect, by subject.
    var effects: [String: JSONValue] = [:]
    /// Parameters of the same, for a repeat.
    var sent: [String: Request] = [:]
    var problems: [String] = []
  }

  private let path: String
  private let next: () -> Request
  private(set) var record = Record()
  private(set) var descriptor: Int32 = -1
  private var request: Request?
  private var message: [UInt8] = []
  private var identifier = 0
  private var input = FrameBuffer()
  private var failedAt: UInt64?
  /// Not before then is a connection tried again.
  private var retryAt: UInt64 = 0

  /// - Parameter next: what to ask after each answer.
  init(path: String, next: @escaping () -> Request) {
    self.path = path
    self.next = next
  }

  /// Whether it was answered, and waits for its turn to ask again.
  var isIdle: Bool { descriptor >= 0 && request == nil }

  /// Whether a request waits for a connection.
  var isWaitingToConnect: Bool { descriptor < 0 }

  /// Begins, or goes on after a pause: connects and sends what is to be answered.
  func go(now: UInt64) {
    guard descriptor < 0, now >= retryAt else { return }
    if request == nil { prepare() }
    descriptor = connect()
    guard descriptor >= 0 else { return }
    input = FrameBuffer()
    send(now: now)
  }

  /// Asks, where nothing is under way.
  func ask(now: UInt64) {
    guard isIdle else { return }
    prepare()
    send(now: now)
  }

  /// Reads what has come.
  func receive(now: UInt64) {
    switch input.read(descriptor) {
    case .nothing: return
    case .ended: fail(now: now)
    case .frames(let frames):
      for frame in frames { answered(frame, now: Clock.now) }
    }
  }

  /// Ends the connection, without a gap.
  func close() {
    if descriptor >= 0 { Glibc.close(descriptor) }
    descriptor = -1
  }

  private func prepare() {
    identifier += 1
    let request = next()
    self.request = request
    message = FrameBuffer.frame(
      JSON.bytes([
        "jsonrpc": "2.0", "id": .integer(Int64(identifier)), "method": .string(request.method),
        "params": request.params,
      ]))
  }

  private func connect() -> Int32 {
    let descriptor = ClientSocket.connect(path)
    if descriptor >= 0 { return descriptor }
    let code = errno
    retryAt = Clock.now + 1_000_000
    if code == ECONNREFUSED || code == ENOENT {
      record.refusals += 1
      if failedAt == nil { failedAt = Clock.now }
    } else if code != EAGAIN {
      record.problems.append("\(path): \(String(cString: strerror(code)))")
    }
    return -1
  }

  private func send(now: UInt64) {
    if !ClientSocket.send(descriptor, message) { fail(now: now) }
  }

  private func fail(now: UInt64) {
    record.cuts += 1
    if failedAt == nil { failedAt = now }
    close()
    go(now: Clock.now)
  }

  private func answered(_ frame: [UInt8], now: UInt64) {
    guard let json = try? JSON.parse(frame) else {
      record.problems.append("\(path): an answer that is not JSON")
      return fail(now: now)
    }
    guard json["id"]?.integer == Int64(identifier) else { return }
    if let error = json["error"] {
      // It has not been executed: the other instance is asked.
      if error["data"]?["kind"]?.string == "stopping" { return fail(now: now) }
      record.problems.append("\(request?.method ?? ""): \(error["message"]?.string ?? "an error without a message")")
    } else if let request, let subject = request.subject {
      record.effects[subject] = json["result"]
      record.sent[subject] = request
    }
    record.calls += 1
    if let failedAt {
      record.gaps.append(Double(now - failedAt) / 1e6)
      self.failedAt = nil
    }
    self.request = nil
  }
}
