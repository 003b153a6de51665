/// Reads one value out of a `JSONValue`.
struct WireDecoder: Decoder {
  let value: JSONValue
  let path: WirePath
  let unknown: WireCoder.UnknownMembers

  var codingPath: [any CodingKey] { path.codingPath }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  /// `place` is only worked out where it is needed: for a nested object, or for an error.
  static func decode<T: Decodable>(
    _ type: T.Type, from value: JSONValue, at place: () -> WirePath, unknown: WireCoder.UnknownMembers
  ) throws -> T {
    switch WireFacts.of(type) {
    case .word(let word):
      return try decode(type, word, from: value, at: place, unknown: unknown)
    case .object(let facts):
      let path = place()
      guard case .object(let object) = value else { throw WireProblem(path, "expected an object") }
      if unknown == .refuse { try refuseUnknown(object, facts, path) }
      let decoded = try T(from: WireDecoder(value: value, path: path, unknown: unknown))
      if let found = facts.complaint?(decoded) { throw WireProblem(.member(path, found.member), found.complaint) }
      return decoded
    case .json, .dictionary, .plain: break
    }
    return try T(from: WireDecoder(value: value, path: place(), unknown: unknown))
  }

  private static func decode<T>(
    _ type: T.Type, _ word: WireFacts.Word, from value: JSONValue, at place: () -> WirePath,
    unknown: WireCoder.UnknownMembers
  ) throws -> T {
    guard case .string(let text) = value else { throw WireProblem(place(), "expected a string") }
    return try withUnsafeTemporaryAllocation(byteCount: MemoryLayout<T>.size, alignment: MemoryLayout<T>.alignment) {
      // The allocation is never without an address, and `word` is of T's facts.
      guard let memory = $0.baseAddress else { throw WireProblem(place(), "expected a string") }
      // A newer service's word, where the enumeration has a place for such.
      let takesUnknown = unknown == .ignore && type is any CaseIterable.Type
      guard word.make(text, memory) || takesUnknown && word.make("unknown", memory) else {
        throw WireProblem(place(), word.rule(text))
      }
      return memory.assumingMemoryBound(to: T.self).move()
    }
  }

  private static func refuseUnknown(_ object: JSONObject, _ facts: WireFacts.Object, _ path: WirePath) throws {
    guard let stranger = object.members.first(where: { !facts.members.contains($0.name) }) else { return }
    let known = facts.members.isEmpty ? "it has none" : "it has \(facts.members.joined(separator: ", "))"
    throw WireProblem(.member(path, String(stranger.name.prefix(64))), "there is no such member; \(known)")
  }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    guard case .object(let object) = value else { throw WireProblem(path, "expected an object") }
    return KeyedDecodingContainer(KeyedReader(object, decoder: self))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    guard case .array(let elements) = value else { throw WireProblem(path, "expected an array") }
    return UnkeyedReader(elements: elements, decoder: self)
  }

  func singleValueContainer() throws -> any SingleValueDecodingContainer { SingleReader(decoder: self) }
}

/// Base types out of JSON, exactly or not at all.
enum WireScalar {
  static func bool(_ value: JSONValue, at place: () -> WirePath) throws -> Bool {
    guard case .bool(let flag) = value else { throw WireProblem(place(), "expected true or false") }
    return flag
  }

  static func string(_ value: JSONValue, at place: () -> WirePath) throws -> String {
    guard case .string(let text) = value else { throw WireProblem(place(), "expected a string") }
    return text
  }

  static func double(_ value: JSONValue, at place: () -> WirePath) throws -> Double {
    switch value {
    case .number(let number): return number
    case .integer(let number): return Double(number)
    default: throw WireProblem(place(), "expected a number")
    }
  }

  /// Integers may be written with a fraction of zero, as JSON Schema has it, up to where `Double` is exact.
  static func integer<T: FixedWidthInteger>(_ value: JSONValue, at place: () -> WirePath) throws -> T {
    switch value {
    case .integer(let number):
      if let exact = T(exactly: number) { return exact }
    case .number(let number) where number.magnitude <= 0x1p53:
      if let exact = T(exactly: number) { return exact }
    case .number(let number) where number == number.rounded(): break
    default: throw WireProblem(place(), "expected an integer")
    }
    if case .number(let number) = value, number != number.rounded() {
      throw WireProblem(place(), "expected an integer")
    }
    throw WireProblem(place(), "expected an integer from \(T.min) to \(T.max)")
  }
}

private struct KeyedReader<Key: CodingKey>: KeyedDecodingContainerProtocol {
  private let object: JSONObject
  private let decoder: WireDecoder
  /// Positions by name, where there are so many members that looking through them would take long.
  private let index: [String: Int]?

  init(_ object: JSONObject, decoder: WireDecoder) {
    self.object = object
    self.decoder = decoder
    let members = object.members
    index =
      members.count <= 32
      ? nil : Dictionary(members.indices.map { (members[$0].name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  var codingPath: [any CodingKey] { decoder.codingPath }
  var allKeys: [Key] { object.members.compactMap { Key(stringValue: $0.name) } }

  private func find(_ key: Key) -> JSONValue? {
    guard let index else { return object[key.stringValue] }
    return index[key.stringValue].map { object.members[$0].value }
  }
  private func value(_ key: Key) throws -> JSONValue {
    guard let value = find(key) else { throw WireProblem(place(key), "missing") }
    return value
  }
  private func place(_ key: Key) -> WirePath { .member(decoder.path, key.stringValue) }

  func contains(_ key: Key) -> Bool { find(key) != nil }
  func decodeNil(forKey key: Key) throws -> Bool { find(key) == .null }
  func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool {
    try WireScalar.bool(value(key), at: { place(key) })
  }
  func decode(_ type: String.Type, forKey key: Key) throws -> String {
    try WireScalar.string(value(key), at: { place(key) })
  }
  func decode(_ type: Double.Type, forKey key: Key) throws -> Double {
    try WireScalar.double(value(key), at: { place(key) })
  }
  func decode(_ type: Int.Type, forKey key: Key) throws -> Int {
    try WireScalar.integer(value(key), at: { place(key) })
  }
  func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 {
    try WireScalar.integer(value(key), at: { place(key) })
  }
  func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
    try WireDecoder.decode(type, from: value(key), at: { place(key) }, unknown: decoder.unknown)
  }

  private func nested(_ key: Key) throws -> WireDecoder {
    WireDecoder(value: try value(key), path: place(key), unknown: decoder.unknown)
  }
  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<Nested> { try nested(key).container(keyedBy: type) }
  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try nested(key).unkeyedContainer()
  }
  func superDecoder() throws -> any Decoder {
    WireDecoder(value: object["super"] ?? .null, path: .member(decoder.path, "super"), unknown: decoder.unknown)
  }
  func superDecoder(forKey key: Key) throws -> any Decoder { try nested(key) }
}

private struct UnkeyedReader: UnkeyedDecodingContainer {
  let elements: [JSONValue]
  let decoder: WireDecoder
  private(set) var currentIndex = 0

  init(elements: [JSONValue], decoder: WireDecoder) {
    self.elements = elements
    self.decoder = decoder
  }

  var codingPath: [any CodingKey] { decoder.codingPath }
  var count: Int? { elements.count }
  var isAtEnd: Bool { currentIndex >= elements.count }

  private func place(_ index: Int) -> WirePath { .element(decoder.path, index) }
  private func current() throws -> JSONValue {
    guard !isAtEnd else { throw WireProblem(place(currentIndex), "missing") }
    return elements[currentIndex]
  }

  mutating func decodeNil() throws -> Bool {
    guard try current() == .null else { return false }
    currentIndex += 1
    return true
  }
  mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
    let index = currentIndex
    let decoded = try WireDecoder.decode(type, from: current(), at: { place(index) }, unknown: decoder.unknown)
    currentIndex += 1
    return decoded
  }

  private mutating func nested() throws -> WireDecoder {
    let nested = WireDecoder(value: try current(), path: place(currentIndex), unknown: decoder.unknown)
    currentIndex += 1
    return nested
  }
  mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) throws -> KeyedDecodingContainer<Nested> {
    try nested().container(keyedBy: type)
  }
  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try nested().unkeyedContainer() }
  mutating func superDecoder() throws -> any Decoder { try nested() }
}

/// Base types end here; everything else goes on to its own `init(from:)`.
private struct SingleReader: SingleValueDecodingContainer {
  let decoder: WireDecoder
  var codingPath: [any CodingKey] { decoder.codingPath }
  private func place() -> WirePath { decoder.path }

  func decodeNil() -> Bool { decoder.value == .null }
  func decode(_ type: Bool.Type) throws -> Bool { try WireScalar.bool(decoder.value, at: place) }
  func decode(_ type: String.Type) throws -> String { try WireScalar.string(decoder.value, at: place) }
  func decode(_ type: Double.Type) throws -> Double { try WireScalar.double(decoder.value, at: place) }
  func decode(_ type: Float.Type) throws -> Float { Float(try WireScalar.double(decoder.value, at: place)) }
  func decode(_ type: Int.Type) throws -> Int { try WireScalar.integer(decoder.value, at: place) }
  func decode(_ type: Int8.Type) throws -> Int8 { try WireScalar.integer(decoder.value, at: place) }
  func decode(_ type: Int16.Type) throws -> Int16 { try WireScalar.integer(decoder.value, at: place) }
  func decode(_ type: Int32.Type) throws -> Int32 { try WireScalar.integer(decoder.value, at: place) }
  func decode(_ type: Int64.Type) throws -> Int64 { try WireScalar.integer(decoder.value, at: place) }
  func decode(_ type: UInt.Type) throws -> UInt { try WireScalar.integer(decoder.value, at: place) }
  func decode(_ type: UInt8.Type) throws -> UInt8 { try WireScalar.integer(decoder.value, at: place) }
  func decode(_ type: UInt16.Type) throws -> UInt16 { try WireScalar.integer(decoder.value, at: place) }
  func decode(_ type: UInt32.Type) throws -> UInt32 { try WireScalar.integer(decoder.value, at: place) }
  func decode(_ type: UInt64.Type) throws -> UInt64 { try WireScalar.integer(decoder.value, at: place) }
  func decode<T: Decodable>(_ type: T.Type) throws -> T {
    try WireDecoder.decode(type, from: decoder.value, at: place, unknown: decoder.unknown)
  }
}
