import Primitives
import RPC
import Testing

private enum Beat: RPCMethod {
  static let name = "test.beat"
  static let summary = "Notes a number."
  static let access = Access.operator
  static let effect = Effect.idempotent

  struct Params: WireObject, Equatable {
    var number: Int
    enum CodingKeys: CodingKey, CaseIterable { case number }
    static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .number: Field(\.number, "The number.", in: 0...100)
      }
    }
  }

  typealias Result = Nothing
}

@Suite struct NoteTests {
  /// Gets what handlers were called, too.
  private let output = Recorder()

  private func session(_ role: Caller.Role = .admin) -> RPCSession {
    var router = Router(title: "test", version: "1")
    router.note(Beat.self) { [output] params in
      guard params.number < 10 else { return false }
      output.send(Array("noted \(params.number)".utf8))
      return true
    }
    router.serve(Beat.self) { [output] params, _ in
      output.send(Array("served \(params.number)".utf8))
      return Nothing()
    }
    let caller = Caller(userID: 1, groupIDs: [], processID: 1, role: role, isService: false)
    return RPCSession(router: router, context: RequestContext(caller: caller, connection: 1), limits: .init())
  }

  private func receive(_ text: String, _ session: RPCSession) {
    Array(text.utf8).withUnsafeBufferPointer { session.receive($0, output) }
  }

  private func beat(_ number: Int, identifier: String = "") -> String {
    #"{"jsonrpc":"2.0",\#(identifier)"method":"test.beat","params":{"number":\#(number)}}"#
  }

  @Test func `a notification is noted before the next message is read`() {
    let session = session()
    for number in 1...3 { receive(beat(number), session) }
    #expect(output.queued == ["noted 1", "noted 2", "noted 3"])
    #expect(session.isIdle)
  }

  @Test func `what is not noted goes to the handler`() async {
    receive(beat(10), session())
    #expect(await output.next() == "served 10")
  }

  @Test func `what wants an answer gets it`() async {
    receive(beat(1, identifier: #""id":5,"#), session())
    #expect(await output.next() == "served 1")
    #expect(await output.next() == #"{"jsonrpc":"2.0","id":5,"result":{}}"#)
  }

  @Test func `who may not call it is not noted`() async {
    let session = session(.viewer)
    receive(beat(1), session)
    receive(beat(1, identifier: #""id":5,"#), session)
    #expect(await output.next().contains("forbidden"))
  }

  @Test func `what cannot be read is not noted`() async {
    let session = session()
    receive(beat(1_000), session)
    receive(beat(2), session)
    #expect(await output.next() == "noted 2")
  }
}
