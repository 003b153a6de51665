/// Any coder can carry JSON values; this module's own takes them as they are.
extension JSONValue: WireValue {
  public static var schema: Schema { .any }

  public init(from decoder: any Decoder) throws {
    if let decoder = decoder as? WireDecoder {
      self = decoder.value
      return
    }
    if var list = try? decoder.unkeyedContainer() {
      var elements: [JSONValue] = []
      while !list.isAtEnd { elements.append(try list.decode(JSONValue.self)) }
      self = .array(elements)
    } else if let object = try? decoder.container(keyedBy: WireKey.self) {
      let members = try object.allKeys.map {
        JSONObject.Member($0.stringValue, try object.decode(JSONValue.self, forKey: $0))
      }
      self = .object(JSONObject(uniqueMembers: members))
    } else {
      self = try Self.scalar(decoder.singleValueContainer())
    }
  }

  private static func scalar(_ container: any SingleValueDecodingContainer) throws -> JSONValue {
    if container.decodeNil() { return .null }
    if let flag = try? container.decode(Bool.self) { return .bool(flag) }
    if let number = try? container.decode(Int64.self) { return .integer(number) }
    if let number = try? container.decode(Double.self), number.isFinite { return .number(number) }
    return .string(try container.decode(String.self))
  }

  public func encode(to encoder: any Encoder) throws {
    if let encoder = encoder as? WireEncoder {
      encoder.value = self
      return
    }
    switch self {
    case .array(let elements):
      var list = encoder.unkeyedContainer()
      for element in elements { try list.encode(element) }
    case .object(let object):
      var container = encoder.container(keyedBy: WireKey.self)
      for member in object.members { try container.encode(member.value, forKey: WireKey(member.name)) }
    default:
      var container = encoder.singleValueContainer()
      switch self {
      case .bool(let flag): try container.encode(flag)
      case .integer(let number): try container.encode(number)
      case .number(let number): try container.encode(number)
      case .string(let text): try container.encode(text)
      default: try container.encodeNil()
      }
    }
  }
}

/// A member's name or an element's index, as coding paths have them.
struct WireKey: CodingKey {
  let stringValue: String
  let intValue: Int?

  init(_ name: String) {
    stringValue = name
    intValue = nil
  }
  init(stringValue: String) { self.init(stringValue) }
  init(intValue: Int) {
    stringValue = String(intValue)
    self.intValue = intValue
  }
}
