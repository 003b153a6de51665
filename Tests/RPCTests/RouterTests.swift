import Primitives
import RPC
import Testing

private enum Add: RPCMethod {
  static let name = "test.add"
  static let summary = "Adds two numbers."
  static let access = Access.operator
  static let effect = Effect.read
  static let failures: [CommonFailure] = [.limitExceeded]

  struct Params: WireObject, Equatable {
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
  struct Result: WireObject, Equatable {
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
  static let name = "test.ticks"
  static let summary = "Sends two sums, then fails where it is told so."
  static let access = Access.viewer
  static let effect = Effect.read
  typealias Params = Subscribed
  typealias Event = Add.Result
}

@Suite struct RouterTests {
  private let output = Recorder()
  private static let router: Router = {
    var router = Router(title: "test", version: "1")
    router.serve(Add.self) { params, _ throws(RPCError) in
      guard params.right != 13 else {
        throw RPCError(CommonFailure.limitExceeded, "13 is too much.", data: ["right": 13])
      }
      return Add.Result(sum: params.left &+ params.right)
    }
    router.serve(Ticks.self) { params, _ throws(RPCError) in
      AsyncThrowingStream { continuation in
        continuation.yield(Add.Result(sum: 1))
        continuation.yield(Add.Result(sum: 2))
        continuation.finish(
          throwing: params.subscription == 1 ? RPCError(CommonFailure.internalError, "Broken.") : nil)
      }
    }
    return router
  }()

  private func session(as caller: Caller = .root) -> RPCSession {
    RPCSession(router: Self.router, context: RequestContext(caller: caller, connection: 1), limits: .init())
  }

  /// What one message is answered with.
  private func answer(_ text: String, as caller: Caller = .root) async -> String {
    receive(text, session(as: caller))
    return await output.next()
  }

  private func receive(_ text: String, _ session: RPCSession) {
    Array(text.utf8).withUnsafeBufferPointer { session.receive($0, output) }
  }

  @Test(
    arguments: [
      (
        #"{"jsonrpc":"2.0","id":1,"method":"test.add","params":{"left":1,"right":2}}"#,
        #"{"jsonrpc":"2.0","id":1,"result":{"sum":3}}"#
      ),
      (
        #"{"jsonrpc":"2.0","id":"a","method":"test.add","params":{"left":1,"right":2}}"#,
        #"{"jsonrpc":"2.0","id":"a","result":{"sum":3}}"#
      ),
      (
        #"{"jsonrpc":"2.0","id":null,"method":"test.add","params":{"left":1,"right":2}}"#,
        #"{"jsonrpc":"2.0","id":null,"result":{"sum":3}}"#
      ),
      (
        #"{"jsonrpc":"2.0","id":1,"method":"test.add","params":{"left":1,"right":13}}"#,
        #"{"jsonrpc":"2.0","id":1,"error":{"code":2,"message":"13 is too much.","data":{"kind":"limitExceeded","right":13}}}"#
      ),
      (
        #"{"jsonrpc":"2.0","id":1,"method":"test.add","params":{"left":1}}"#,
        #"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"params.right: missing","data":{"kind":"invalidParams","#
          + #""member":"params.right"}}}"#
      ),
      (
        #"{"jsonrpc":"2.0","id":1,"method":"test.add","params":{"left":-1,"right":2}}"#,
        #"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"params.left: -1 is not between 0 and 1000","#
          + #""data":{"kind":"invalidParams","member":"params.left"}}}"#
      ),
      (
        #"{"jsonrpc":"2.0","id":1,"method":"test.none"}"#,
        #"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"test has no method \"test.none\"; rpc.discover lists "#
          + #"those it has.","data":{"kind":"methodNotFound","method":"test.none"}}}"#
      ),
      (
        #"{"jsonrpc":"2.0","id":1,"method":"test.add","params":[1,2]}"#,
        #"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"This is not a request: parameters are passed by name, "#
          + #"in an object.","data":{"kind":"invalidRequest"}}}"#
      ),
      (
        #"{"id":1,"method":"test.add"}"#,
        #"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"This is not a request: the member \"jsonrpc\" is "#
          + #"missing or not \"2.0\".","data":{"kind":"invalidRequest"}}}"#
      ),
      (
        #"{"jsonrpc":"2.0","id":{},"method":"test.add"}"#,
        #"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"This is not a request: the member \"id\" is a "#
          + #"string or a number.","data":{"kind":"invalidRequest"}}}"#
      ),
      (
        "7",
        #"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"This is not a request: a request is an object.","#
          + #""data":{"kind":"invalidRequest"}}}"#
      ),
      (
        #"{"jsonrpc":"2.0","id":1"#,
        #"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"The message is not JSON: expected ',' or '}' at "#
          + #"byte 23.","data":{"kind":"parseError"}}}"#
      ),
      (
        "[]",
        #"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"A batch holds at least one request.","#
          + #""data":{"kind":"invalidRequest"}}}"#
      ),
      (
        #"{"jsonrpc":"2.0","id":1,"method":"rpc.unsubscribe","params":{"subscription":9}}"#,
        #"{"jsonrpc":"2.0","id":1,"result":{}}"#
      ),
    ] as [(String, String)])
  func `a request is answered with these bytes`(_ request: String, _ expected: String) async {
    #expect(await answer(request) == expected)
  }

  @Test func `a batch is answered with an array, notifications in it not at all`() async {
    let request =
      #"[{"jsonrpc":"2.0","id":1,"method":"test.add","params":{"left":1,"right":1}},"#
      + #"{"jsonrpc":"2.0","method":"test.add","params":{"left":1,"right":1}},"#
      + #"{"jsonrpc":"2.0","id":2,"method":"test.add","params":{"left":2,"right":2}},1]"#
    #expect(
      await answer(request)
        == #"[{"jsonrpc":"2.0","id":1,"result":{"sum":2}},{"jsonrpc":"2.0","id":2,"result":{"sum":4}},"#
        + #"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"This is not a request: a request is an object.","#
        + #""data":{"kind":"invalidRequest"}}}]"#)
  }

  @Test func `notifications are not answered, alone or in a batch`() async {
    let session = session()
    receive(#"{"jsonrpc":"2.0","method":"test.add","params":{"left":1,"right":1}}"#, session)
    receive(#"{"jsonrpc":"2.0","method":"test.none"}"#, session)
    receive(#"[{"jsonrpc":"2.0","method":"test.none"}]"#, session)
    receive(#"{"jsonrpc":"2.0","id":7,"method":"test.add","params":{"left":1,"right":1}}"#, session)
    #expect(await output.next() == #"{"jsonrpc":"2.0","id":7,"result":{"sum":2}}"#)
  }

  @Test func `a batch of too many requests is refused as one`() async {
    let request = "[" + Array(repeating: "1", count: 1_025).joined(separator: ",") + "]"
    #expect(await answer(request).contains("at most 1024 requests"))
  }

  @Test func `a subscription is answered, then its events come, then its end`() async {
    let session = session()
    receive(#"{"jsonrpc":"2.0","id":1,"method":"test.ticks","params":{"subscription":0}}"#, session)
    #expect(await output.next() == #"{"jsonrpc":"2.0","id":1,"result":{"subscription":2}}"#)
    let begin = #"{"jsonrpc":"2.0","method":"test.ticks","params":{"subscription":2,"#
    #expect(await output.next() == begin + #""event":{"sum":1}}}"#)
    #expect(await output.next() == begin + #""event":{"sum":2}}}"#)
    #expect(await output.next() == begin + #""end":null}}"#)
  }

  @Test func `a subscription that fails ends with its error`() async {
    let session = session()
    receive(#"{"jsonrpc":"2.0","id":1,"method":"test.ticks","params":{"subscription":1}}"#, session)
    for _ in 0..<3 { _ = await output.next() }
    #expect(
      await output.next() == #"{"jsonrpc":"2.0","method":"test.ticks","params":{"subscription":2,"end":{"code":-32603,"#
        + #""message":"Broken.","data":{"kind":"internalError"}}}}"#)
  }

  @Test func `each role may call what it may and is told what is missing`() async {
    func caller(_ role: Caller.Role?, service: Bool = false) -> Caller {
      Caller(userID: 1_000, groupIDs: [], processID: 1, role: role, isService: service)
    }
    let request = #"{"jsonrpc":"2.0","id":1,"method":"test.add","params":{"left":1,"right":2}}"#
    #expect(await answer(request, as: caller(.operator)).contains("result"))
    #expect(await answer(request, as: caller(.admin)).contains("result"))
    #expect(await answer(request, as: caller(nil, service: true)).contains("result"))
    #expect(
      await answer(request, as: caller(.viewer))
        == #"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"test.add needs the role operator, and user 1000 does not "#
        + #"have it: ask an administrator to add you to the group ftvs-operator, and log in again.","#
        + #""data":{"kind":"forbidden","method":"test.add","access":"operator","userID":1000}}}"#)
    let discover = #"{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#
    #expect(await answer(discover, as: caller(nil)).contains("openrpc"))
  }

  @Test(
    arguments: [
      (Caller.Role?.none, false, [Access.anyone]), (.viewer, false, [.anyone, .viewer]),
      (.operator, false, [.anyone, .viewer, .operator]), (.admin, false, [.anyone, .viewer, .operator, .admin]),
      (nil, true, [.anyone, .viewer, .operator, .service]),
    ] as [(Caller.Role?, Bool, [Access])])
  func `a role opens these methods`(_ role: Caller.Role?, _ isService: Bool, _ open: [Access]) {
    let caller = Caller(userID: 5, groupIDs: [], processID: 1, role: role, isService: isService)
    #expect(Access.allCases.filter { caller.may($0) } == open)
  }

  @Test func `root may do everything`() {
    let root = Caller(userID: 0, groupIDs: [], processID: 1, role: nil, isService: false)
    #expect(Access.allCases.allSatisfy { root.may($0) })
  }

  @Test func `an error that this build does not know survives`() {
    let json: JSONValue = ["code": 3999, "message": "New.", "data": ["kind": "brandNew", "fact": 1]]
    let error = RPCError(json: json)
    #expect(error == RPCError(code: 3999, kind: "brandNew", message: "New.", data: ["fact": 1]))
    #expect(error.json == json)
  }

  @Test func `an error without data is made complete`() {
    #expect(RPCError(json: ["code": -32601]).kind == "methodNotFound")
    #expect(RPCError(json: ["code": 77, "data": "x"]).data == ["data": "x"])
    #expect(RPCError(json: 7).code == -32603)
  }

  @Test func `a call in this process goes through the coder and the checks`() async throws {
    let caller = RouterCaller(Self.router, as: .root)
    #expect(try await caller.call(Add.self, .init(left: 1, right: 2)).sum == 3)
    await #expect(throws: RPCError.self) { try await caller.call(Add.self, .init(left: 5_000, right: 2)) }
    var sums: [Int] = []
    for try await event in try await caller.subscribe(Ticks.self, Subscribed(subscription: 0)) {
      sums.append(event.sum)
    }
    #expect(sums == [1, 2])
  }

  @Test func `the description has every method with schemas and what OpenRPC has no word for`() async throws {
    let document = try await RouterCaller(Self.router, as: .root).call(Discover.self)
    let methods = try #require(document["methods"]?.array)
    #expect(methods.map { $0["name"]?.string } == ["rpc.discover", "rpc.unsubscribe", "test.add", "test.ticks"])
    let expected = ##"""
      {"name":"test.add","summary":"Adds two numbers.","paramStructure":"by-name","params":[{"name":"left",\##
      "description":"One.","required":true,"schema":{"type":"integer","minimum":0,"maximum":1000}},{"name":"right",\##
      "description":"The other.","required":true,"schema":{"type":"integer"}}],"result":{"name":"result",\##
      "schema":{"$ref":"#/components/schemas/AddResult"}},"errors":[{"code":2,"message":"A limit on size, number or \##
      rate was reached; wait or send less.","data":{"kind":"limitExceeded"}}],"x-access":"operator","x-effect":"read"}
      """##
    #expect(JSON.text(methods[2]) == expected)
    #expect(methods[3]["x-event"] == ["name": "event", "schema": ["$ref": "#/components/schemas/AddResult"]])
  }
}
