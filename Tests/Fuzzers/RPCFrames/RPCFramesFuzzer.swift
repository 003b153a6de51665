import FuzzSupport
import Glibc
import RPC
@testable import RPCSocket

/// What a client of a service sends: frames, and the JSON-RPC requests in them. The first byte tells into how large pieces the bytes fall
/// on their way; which frames they are does not depend on it.
@main enum RPCFramesFuzzer: Fuzzer {
  static func seeds() -> [[UInt8]] {
    let texts = [
      #"{"jsonrpc":"2.0","id":1,"method":"fuzz.add","params":{"left":1,"right":2}}"#,
      #"{"jsonrpc":"2.0","id":"a","method":"fuzz.ticks","params":{"subscription":7}}"#,
      #"{"jsonrpc":"2.0","method":"rpc.unsubscribe","params":{"subscription":1}}"#,
      #"[{"jsonrpc":"2.0","id":1,"method":"fuzz.add","params":{"left":1,"right":13}},{"jsonrpc":"2.0"},7]"#,
      #"{"jsonrpc":"2.0","id":null,"method":"rpc.discover"}"#, "[]", "x",
    ].map { Array($0.utf8) }
    let frames = texts.map { big(UInt32($0.count)) + $0 }
    return frames.map { [255] + $0 } + [[3] + Array(frames.joined()), [1] + big(UInt32.max) + [1, 2, 3]]
  }

  private static let router: Router = {
    var router = Router(title: "fuzz", version: "1")
    router.serve(Add.self) { params, _ throws(RPCError) in
      guard params.right != 13 else { throw RPCError(CommonFailure.limitExceeded, "13 is too much.") }
      return Add.Result(sum: params.left &+ params.right)
    }
    router.serve(Ticks.self) { params, _ throws(RPCError) in
      AsyncThrowingStream { continuation in
        continuation.yield(Add.Result(sum: 1))
        continuation.finish()
      }
    }
    return router
  }()

  static func test(_ input: [UInt8]) {
    guard let first = input.first else { return }
    let bytes = Array(input.dropFirst())
    let frames = frames(bytes, piece: max(1, Int(first)))
    require(frames == Self.frames(bytes, piece: max(1, bytes.count)), "frames do not depend on how bytes arrive")
    let session = RPCSession(router: router, context: RequestContext(caller: .root, connection: 1), limits: .init())
    let output = Output()
    for frame in frames { frame.withUnsafeBufferPointer { session.receive($0, output) } }
    // Batches run in tasks of their own.
    while session.inFlight > 0 { sched_yield() }
    session.leave()
  }

  private static func frames(_ bytes: [UInt8], piece: Int) -> [[UInt8]] {
    var buffer = FrameBuffer(limit: 1 << 16)
    var frames: [[UInt8]] = []
    for start in stride(from: 0, to: bytes.count, by: piece) {
      bytes[start...].prefix(piece).withUnsafeBytes { buffer.append($0) }
      while case .frame(let range) = buffer.next() {
        frames.append(buffer.withText(range) { Array($0) })
        buffer.take(range)
      }
    }
    return frames
  }
}

/// What is sent is JSON.
private final class Output: RPCSessionOutput {
  func send(_ message: [UInt8]) { require((try? JSON.parse(message)) != nil, "an answer is JSON") }

  func sendEvent(_ message: [UInt8]) -> Bool {
    send(message)
    return true
  }

  func waitForRoom() async -> Bool { true }
  func requestFinished() {}
}

private enum Add: RPCMethod {
  static let name = "fuzz.add"
  static let summary = "Adds two numbers."
  static let access = Access.operator
  static let effect = Effect.read
  static let failures: [CommonFailure] = [.limitExceeded]

  struct Params: WireObject {
    var left: Int
    var right: Int
    enum CodingKeys: CodingKey, CaseIterable { case left, right }
    static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .left: Field(\.left, "One.", in: 0...1_000)
      case .right: Field(\.right, "The other.")
      }
    }
  }
  struct Result: WireObject {
    var sum: Int
    enum CodingKeys: CodingKey, CaseIterable { case sum }
    static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .sum: Field(\.sum, "The sum.")
      }
    }
  }
}

private enum Ticks: RPCSubscription {
  static let name = "fuzz.ticks"
  static let summary = "Sends a sum."
  static let access = Access.viewer
  static let effect = Effect.read
  typealias Params = Subscribed
  typealias Event = Add.Result
}
