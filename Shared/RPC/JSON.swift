/// JSON text: RFC 8259, read strictly and written compactly.
///
/// Read from peers, so nothing that can be in the bytes traps: invalid UTF-8, lone surrogates, names that occur twice,
/// numbers beyond `Double`, and everything beyond the limits is refused with the place where it was found.
public enum JSON {
  /// Arrays and objects inside each other.
  public static let depthLimit = 64
  /// Values in one text. A value takes 20 times the memory of its text in the worst case.
  public static let valueLimit = 1_000_000
  /// Characters of one number.
  public static let numberLimit = 256

  /// The value of a whole text.
  public static func parse(_ bytes: UnsafeBufferPointer<UInt8>) throws(JSONError) -> JSONValue {
    var parser = JSONParser(bytes)
    return try parser.document()
  }

  /// The value of a whole text.
  public static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSONValue {
    try bytes.withUnsafeBufferPointer { buffer throws(JSONError) in try parse(buffer) }
  }

  /// The value of a whole text.
  public static func parse(_ bytes: some Collection<UInt8>) throws(JSONError) -> JSONValue {
    try parse(Array(bytes))
  }

  /// The value of a whole text.
  public static func parse(_ text: String) throws(JSONError) -> JSONValue {
    try parse(Array(text.utf8))
  }

  /// The text of a value, without white space.
  public static func bytes(_ value: JSONValue) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(256)
    append(value, to: &bytes)
    return bytes
  }

  /// The text of a value, without white space.
  public static func text(_ value: JSONValue) -> String { String(decoding: bytes(value), as: UTF8.self) }

  /// The text of a value for people: one member or element a line, two spaces a level.
  public static func indented(_ value: JSONValue) -> String {
    var writer = JSONIndenter()
    writer.write(value, level: 0)
    return String(decoding: writer.bytes, as: UTF8.self)
  }
}

/// Why a text is not JSON, or not within the limits.
public struct JSONError: Error, Sendable, Hashable, CustomStringConvertible {
  /// Offset of the byte at which this was noticed.
  public let offset: Int
  /// What was wrong there, without the place.
  public let message: String

  public init(offset: Int, message: String) {
    self.offset = offset
    self.message = message
  }

  public var description: String { "\(message) at byte \(offset)" }
}
