/// What the API's description says of a method. Schemas are worked out when the description is asked for.
public struct MethodDescription: Sendable {
  /// One of the method's own failures.
  public struct Failure: Sendable, Hashable {
    public let code: Int
    public let kind: String
    public let summary: String
  }

  public let name: String
  public let summary: String
  public let access: Access
  public let effect: Effect
  /// Its own failures; the common ones are beside them.
  public let failures: [Failure]
  /// Whether its parameters can carry a request key.
  public let isKeyed: Bool
  let params: @Sendable () -> Schema
  let result: @Sendable () -> Schema
  /// Of each event, where it is a subscription.
  let event: (@Sendable () -> Schema)?

  public init<M: RPCMethod>(_ method: M.Type) { self.init(method, event: nil) }

  public init<S: RPCSubscription>(subscription: S.Type) {
    self.init(subscription, event: { S.Event.schema })
  }

  private init<M: RPCMethod>(_ method: M.Type, event: (@Sendable () -> Schema)?) {
    name = M.name
    summary = M.summary
    access = M.access
    effect = M.effect
    failures = M.failures.map { Failure(code: $0.rawValue, kind: $0.kind, summary: $0.summary) }
    isKeyed = M.Params.self is any KeyedParams.Type
    params = { M.Params.schema }
    result = { M.Result.schema }
    self.event = event
  }
}

/// Writes OpenRPC 1.3.2 documents. What OpenRPC has no word for is in members that begin with `x-`.
public enum OpenRPC {
  public static func document(title: String, version: String, methods: [MethodDescription]) -> JSONValue {
    var components = SchemaComponents()
    let described = methods.map { describe($0, &components) }
    let common = CommonFailure.allCases.map { JSONObject.Member($0.kind, error($0.rawValue, $0.kind, $0.summary)) }
    return [
      "openrpc": "1.3.2",
      "info": [
        "title": .string(title), "version": .string(version),
        "description": .string(
          "Frames of a 4-byte big-endian length and that many bytes of JSON-RPC 2.0 on a Unix socket. Every method may "
            + "also end with the errors in components."),
      ],
      "methods": .array(described),
      "components": [
        "schemas": .object(components.sorted),
        "errors": .object(JSONObject(uniqueMembers: common)),
      ],
    ]
  }

  private static func describe(_ method: MethodDescription, _ components: inout SchemaComponents) -> JSONValue {
    var object: JSONObject = [
      "name": .string(method.name), "summary": .string(method.summary), "paramStructure": "by-name",
    ]
    var params: [JSONValue] = []
    if case .object(let schema) = method.params() {
      params = schema.properties.map { property in
        [
          "name": .string(property.name), "description": .string(property.summary),
          "required": .bool(property.isRequired), "schema": components.json(property.schema),
        ]
      }
    }
    object["params"] = .array(params)
    object["result"] = ["name": "result", "schema": components.json(method.result())]
    object["errors"] = .array(method.failures.map { error($0.code, $0.kind, $0.summary) })
    object["x-access"] = .string(method.access.rawValue)
    object["x-effect"] = .string(method.effect.rawValue)
    if let event = method.event { object["x-event"] = ["name": "event", "schema": components.json(event())] }
    return .object(object)
  }

  private static func error(_ code: Int, _ kind: String, _ summary: String) -> JSONValue {
    ["code": .integer(Int64(code)), "message": .string(summary), "data": ["kind": .string(kind)]]
  }
}

/// Schemas of objects, each under its title, referred to from where they are used.
private struct SchemaComponents {
  private var schemas: [String: (source: ObjectSchema, json: JSONValue)] = [:]

  var sorted: JSONObject {
    JSONObject(uniqueMembers: schemas.sorted { $0.key < $1.key }.map { JSONObject.Member($0.key, $0.value.json) })
  }

  mutating func json(_ schema: Schema) -> JSONValue {
    switch schema {
    case .any: return [:]
    case .null: return ["type": "null"]
    case .boolean: return ["type": "boolean"]
    case .number: return ["type": "number"]
    case .integer(let minimum, let maximum):
      var object: JSONObject = ["type": "integer"]
      object["minimum"] = minimum.map { .integer($0) }
      object["maximum"] = maximum.map { .integer($0) }
      return .object(object)
    case .string(let pattern):
      var object: JSONObject = ["type": "string"]
      object["pattern"] = pattern.map { .string($0) }
      return .object(object)
    case .choice(let words): return ["type": "string", "enum": .array(words.map { .string($0) })]
    case .array(let element): return ["type": "array", "items": json(element)]
    case .dictionary(let value): return ["type": "object", "additionalProperties": json(value)]
    case .object(let object): return ["$ref": .string("#/components/schemas/\(reference(object))")]
    }
  }

  /// The name under which an object's schema is listed: its title, with a number where another one has that.
  private mutating func reference(_ object: ObjectSchema) -> String {
    var name = object.title
    var number = 2
    while let known = schemas[name], known.source != object {
      name = "\(object.title)\(number)"
      number += 1
    }
    guard schemas[name] == nil else { return name }
    schemas[name] = (object, .null)
    schemas[name] = (object, describe(object))
    return name
  }

  private mutating func describe(_ object: ObjectSchema) -> JSONValue {
    var properties = JSONObject()
    for property in object.properties {
      var schema = json(property.schema).object ?? JSONObject()
      // Draft 7 ignores what stands beside a reference.
      if schema["$ref"] != nil { schema = ["allOf": [.object(schema)]] }
      schema["description"] = .string(property.summary)
      properties[property.name] = .object(schema)
    }
    return [
      "type": "object", "properties": .object(properties),
      "required": .array(object.properties.filter(\.isRequired).map { .string($0.name) }),
    ]
  }
}
