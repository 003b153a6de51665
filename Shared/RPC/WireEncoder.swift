/// Builds the `JSONValue` of one value. Used by one thread, during one call of `encode(to:)`.
final class WireEncoder: Encoder {
  /// What has been encoded; a container that was asked for puts its content here as it grows.
  var value: JSONValue {
    get { content.value }
    set { content = .value(newValue) }
  }
  private var content = Content.none
  private let place: () -> WirePath

  init(at place: @escaping () -> WirePath) { self.place = place }

  var path: WirePath { place() }
  var codingPath: [any CodingKey] { path.codingPath }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  static func encode<T: Encodable>(_ value: T, at place: @escaping () -> WirePath) throws -> JSONValue {
    let facts = WireFacts.of(T.self)
    switch facts {
    case .json: if let json = value as? JSONValue { return json }
    case .word(let word): return .string(withUnsafePointer(to: value) { word.text($0) })
    default: break
    }
    let encoder = WireEncoder(at: place)
    try value.encode(to: encoder)
    let json = encoder.value
    guard case .dictionary = facts, case .object(let object) = json else { return json }
    return .object(JSONObject(uniqueMembers: object.members.sorted { $0.name < $1.name }))
  }

  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    let members: Members
    if case .members(let known) = content { members = known } else { members = Members() }
    content = .members(members)
    return KeyedEncodingContainer(KeyedWriter(members: members, encoder: self))
  }

  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    let elements: Elements
    if case .elements(let known) = content { elements = known } else { elements = Elements() }
    content = .elements(elements)
    return UnkeyedWriter(elements: elements, encoder: self)
  }

  func singleValueContainer() -> any SingleValueEncodingContainer { SingleWriter(encoder: self) }

  static func json(_ number: some BinaryInteger, at place: () -> WirePath) throws -> JSONValue {
    guard let exact = Int64(exactly: number) else {
      throw WireProblem(place(), "\(number) is not within 64 bits with sign")
    }
    return .integer(exact)
  }

  static func json(_ number: Double, at place: () -> WirePath) throws -> JSONValue {
    guard number.isFinite else { throw WireProblem(place(), "\(number) cannot be written as JSON") }
    return .number(number)
  }

  /// The members of an object being written.
  final class Members {
    var list: [(name: String, content: Content)] = []
  }

  /// The elements of an array being written.
  final class Elements {
    var list: [Content] = []
  }

  /// A part of the tree: done, or of a container that may still grow.
  enum Content {
    case none
    case value(JSONValue)
    case members(Members)
    case elements(Elements)
    case encoder(WireEncoder)

    var value: JSONValue {
      switch self {
      case .none: .null
      case .value(let value): value
      case .members(let members):
        .object(JSONObject(uniqueMembers: members.list.map { JSONObject.Member($0.name, $0.content.value) }))
      case .elements(let elements): .array(elements.list.map(\.value))
      case .encoder(let encoder): encoder.value
      }
    }
  }
}

private struct KeyedWriter<Key: CodingKey>: KeyedEncodingContainerProtocol {
  let members: WireEncoder.Members
  let encoder: WireEncoder
  var codingPath: [any CodingKey] { encoder.codingPath }

  private func put(_ value: JSONValue, _ key: Key) { members.list.append((key.stringValue, .value(value))) }
  private func place(_ name: String) -> () -> WirePath {
    let encoder = encoder
    return { .member(encoder.path, name) }
  }

  func encodeNil(forKey key: Key) { put(.null, key) }
  func encode(_ value: Bool, forKey key: Key) { put(.bool(value), key) }
  func encode(_ value: String, forKey key: Key) { put(.string(value), key) }
  func encode(_ value: Int, forKey key: Key) { put(.integer(Int64(value)), key) }
  func encode(_ value: Int64, forKey key: Key) { put(.integer(value), key) }
  func encode(_ value: Double, forKey key: Key) throws {
    put(try WireEncoder.json(value, at: place(key.stringValue)), key)
  }
  func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
    put(try WireEncoder.encode(value, at: place(key.stringValue)), key)
  }

  private func nested(_ name: String) -> WireEncoder {
    let nested = WireEncoder(at: place(name))
    members.list.append((name, .encoder(nested)))
    return nested
  }
  func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedEncodingContainer<Nested>
  {
    nested(key.stringValue).container(keyedBy: type)
  }
  func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
    nested(key.stringValue).unkeyedContainer()
  }
  func superEncoder() -> any Encoder { nested("super") }
  func superEncoder(forKey key: Key) -> any Encoder { nested(key.stringValue) }
}

private struct UnkeyedWriter: UnkeyedEncodingContainer {
  let elements: WireEncoder.Elements
  let encoder: WireEncoder
  var codingPath: [any CodingKey] { encoder.codingPath }
  var count: Int { elements.list.count }

  private var place: () -> WirePath {
    let encoder = encoder
    let index = count
    return { .element(encoder.path, index) }
  }

  func encodeNil() { elements.list.append(.value(.null)) }
  func encode<T: Encodable>(_ value: T) throws {
    elements.list.append(.value(try WireEncoder.encode(value, at: place)))
  }

  private func nested() -> WireEncoder {
    let nested = WireEncoder(at: place)
    elements.list.append(.encoder(nested))
    return nested
  }
  func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
    nested().container(keyedBy: type)
  }
  func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { nested().unkeyedContainer() }
  func superEncoder() -> any Encoder { nested() }
}

/// Base types end here; everything else goes on to its own `encode(to:)`.
private struct SingleWriter: SingleValueEncodingContainer {
  let encoder: WireEncoder
  var codingPath: [any CodingKey] { encoder.codingPath }
  private var place: () -> WirePath {
    let encoder = encoder
    return { encoder.path }
  }

  func encodeNil() { encoder.value = .null }
  func encode(_ value: Bool) { encoder.value = .bool(value) }
  func encode(_ value: String) { encoder.value = .string(value) }
  func encode(_ value: Double) throws { encoder.value = try WireEncoder.json(value, at: place) }
  func encode(_ value: Float) throws { try encode(Double(value)) }
  func encode(_ value: Int) throws { encoder.value = .integer(Int64(value)) }
  func encode(_ value: Int8) throws { encoder.value = .integer(Int64(value)) }
  func encode(_ value: Int16) throws { encoder.value = .integer(Int64(value)) }
  func encode(_ value: Int32) throws { encoder.value = .integer(Int64(value)) }
  func encode(_ value: Int64) throws { encoder.value = .integer(value) }
  func encode(_ value: UInt) throws { encoder.value = try WireEncoder.json(value, at: place) }
  func encode(_ value: UInt8) throws { encoder.value = .integer(Int64(value)) }
  func encode(_ value: UInt16) throws { encoder.value = .integer(Int64(value)) }
  func encode(_ value: UInt32) throws { encoder.value = .integer(Int64(value)) }
  func encode(_ value: UInt64) throws { encoder.value = try WireEncoder.json(value, at: place) }
  func encode<T: Encodable>(_ value: T) throws { encoder.value = try WireEncoder.encode(value, at: place) }
}
