/// The texts of JSON-RPC 2.0 messages. Written directly: no tree of the envelope is built first.
package enum RPCMessage {
  /// A request, or a notification where there is no identifier.
  package static func request(_ identifier: Int?, _ method: String, _ params: JSONValue) -> [UInt8] {
    var bytes = begin()
    if let identifier {
      JSON.append(literal: ",\"id\":", to: &bytes)
      JSON.append(.integer(Int64(identifier)), to: &bytes)
    }
    JSON.append(literal: ",\"method\":", to: &bytes)
    JSON.append(method, to: &bytes)
    JSON.append(literal: ",\"params\":", to: &bytes)
    JSON.append(params, to: &bytes)
    return end(&bytes)
  }

  package static func result(_ identifier: JSONValue, _ result: JSONValue) -> [UInt8] {
    answer(identifier, ",\"result\":", result)
  }

  package static func failure(_ identifier: JSONValue, _ error: RPCError) -> [UInt8] {
    answer(identifier, ",\"error\":", error.json)
  }

  /// A notification that carries an event.
  package static func event(_ method: String, _ subscription: Int, _ event: JSONValue) -> [UInt8] {
    request(nil, method, ["subscription": .integer(Int64(subscription)), "event": event])
  }

  /// The last notification of a subscription.
  package static func end(_ method: String, _ subscription: Int, _ error: RPCError?) -> [UInt8] {
    request(nil, method, ["subscription": .integer(Int64(subscription)), "end": error?.json ?? .null])
  }

  private static func begin() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(256)
    JSON.append(literal: "{\"jsonrpc\":\"2.0\"", to: &bytes)
    return bytes
  }

  private static func end(_ bytes: inout [UInt8]) -> [UInt8] {
    bytes.append(UInt8(ascii: "}"))
    return bytes
  }

  private static func answer(_ identifier: JSONValue, _ member: StaticString, _ value: JSONValue) -> [UInt8] {
    var bytes = begin()
    JSON.append(literal: ",\"id\":", to: &bytes)
    JSON.append(identifier, to: &bytes)
    JSON.append(literal: member, to: &bytes)
    JSON.append(value, to: &bytes)
    return end(&bytes)
  }
}

/// One request or notification of a client, taken out of its JSON.
struct RPCRequest {
  /// Absent for a notification.
  let identifier: JSONValue?
  let method: String
  let params: JSONValue

  /// Why some JSON is not a request, and the identifier under which to say so.
  struct Refusal: Error {
    let identifier: JSONValue
    let error: RPCError
  }

  init(_ json: JSONValue) throws(Refusal) {
    guard case .object(let object) = json else { throw Self.refusal(.null, "a request is an object") }
    let identifier = object["id"]
    switch identifier {
    case nil, .null, .string, .integer, .number: break
    default: throw Self.refusal(.null, "the member \"id\" is a string or a number")
    }
    guard object["jsonrpc"] == "2.0" else {
      throw Self.refusal(identifier ?? .null, "the member \"jsonrpc\" is missing or not \"2.0\"")
    }
    guard case .string(let method)? = object["method"] else {
      throw Self.refusal(identifier ?? .null, "the member \"method\" is missing or not a string")
    }
    switch object["params"] {
    case nil: params = .object(JSONObject())
    case .object(let members)?: params = .object(members)
    case .array?: throw Self.refusal(identifier ?? .null, "parameters are passed by name, in an object")
    default: throw Self.refusal(identifier ?? .null, "the member \"params\" is not an object")
    }
    self.identifier = identifier
    self.method = method
  }

  private static func refusal(_ identifier: JSONValue, _ reason: String) -> Refusal {
    Refusal(identifier: identifier, error: RPCError(CommonFailure.invalidRequest, "This is not a request: \(reason)."))
  }
}

extension RPCError {
  /// The error object of an answer: the kind is the first member of its data.
  package var json: JSONValue {
    var members = [JSONObject.Member("kind", .string(kind))]
    members += data.members.filter { $0.name != "kind" }
    return [
      "code": .integer(Int64(code)), "message": .string(message),
      "data": .object(JSONObject(uniqueMembers: members)),
    ]
  }

  /// The error in an answer, whatever its code; what is missing in it is made up for.
  package init(json: JSONValue) {
    let code = json["code"]?.integer.flatMap { Int(exactly: $0) } ?? CommonFailure.internalError.rawValue
    var data = JSONObject()
    switch json["data"] {
    case .object(let object)?: data = object
    case .some(let other): data["data"] = other
    case nil: break
    }
    let kind = data["kind"]?.string ?? CommonFailure(rawValue: code)?.kind ?? "unknown"
    data["kind"] = nil
    self.init(
      code: code, kind: kind, message: json["message"]?.string ?? "The service gave no reason.", data: data)
  }
}
