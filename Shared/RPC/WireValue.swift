import Primitives

/// A type that can be part of a message: it encodes to JSON, decodes from it, and describes itself.
///
/// Encoding and decoding are `Codable`'s, by this module's own coder; `schema` is what OpenRPC publishes.
public protocol WireValue: Codable, Sendable {
  /// What JSON values of this type look like.
  static var schema: Schema { get }
  /// Whether a member of this type may be left out. Only `Optional` says yes.
  static var mayBeAbsent: Bool { get }
  /// The value in JSON that is just as it usually is, found without the coder: for what comes dozens of times a second. Nil for all
  /// other JSON, which the coder then reads, or says what is wrong with.
  static func usual(_ json: JSONValue) -> Self?
}

extension WireValue {
  public static var mayBeAbsent: Bool { false }
  public static func usual(_ json: JSONValue) -> Self? { nil }
}

/// What JSON values of a type look like: the part of JSON Schema (draft 7) that this contract uses.
public indirect enum Schema: Sendable, Equatable {
  case any
  case null
  case boolean
  case integer(minimum: Int64?, maximum: Int64?)
  case number
  case string(pattern: String?)
  /// One of a fixed set of strings. Readers must accept others: the set may grow.
  case choice([String])
  case array(Schema)
  /// An object with arbitrary names and values of one type.
  case dictionary(Schema)
  case object(ObjectSchema)
}

/// An object with named members.
public struct ObjectSchema: Sendable, Equatable {
  /// One member.
  public struct Property: Sendable, Equatable {
    public let name: String
    public let summary: String
    public let schema: Schema
    public let isRequired: Bool

    public init(name: String, summary: String, schema: Schema, isRequired: Bool) {
      self.name = name
      self.summary = summary
      self.schema = schema
      self.isRequired = isRequired
    }
  }

  /// The type's name, under which OpenRPC lists it among its components.
  public let title: String
  public let properties: [Property]

  public init(title: String, properties: [Property]) {
    self.title = title
    self.properties = properties
  }
}

extension Bool: WireValue {
  public static var schema: Schema { .boolean }
}

extension String: WireValue {
  public static var schema: Schema { .string(pattern: nil) }
}

extension Int: WireValue {
  public static var schema: Schema { .integer(minimum: nil, maximum: nil) }
}

extension Int64: WireValue {
  public static var schema: Schema { .integer(minimum: nil, maximum: nil) }
}

extension UInt32: WireValue {
  public static var schema: Schema { .integer(minimum: 0, maximum: Int64(UInt32.max)) }
}

extension Double: WireValue {
  public static var schema: Schema { .number }
}

extension Optional: WireValue where Wrapped: WireValue {
  public static var schema: Schema { Wrapped.schema }
  public static var mayBeAbsent: Bool { true }
}

extension Array: WireValue where Element: WireValue {
  public static var schema: Schema { .array(Element.schema) }
}

extension Dictionary: WireValue where Key == String, Value: WireValue {
  public static var schema: Schema { .dictionary(Value.schema) }
}

extension WireValue where Self: CaseIterable & RawRepresentable<String> {
  public static var schema: Schema { .choice(allCases.map(\.rawValue)) }
}

extension WireValue where Self: UserName {
  public static var schema: Schema { .string(pattern: pattern) }
}

extension ModuleID: WireValue {}
extension ModuleID.Kind: WireValue {}
extension LegID: WireValue {}
extension ServiceName: WireValue {}
extension VolumeName: WireValue {}
extension VMName: WireValue {}
extension ImageName: WireValue {}
extension SnapshotName: WireValue {}
extension CheckpointName: WireValue {}

extension GenerationID: WireValue {
  public static var schema: Schema { .string(pattern: "^[0-9a-f]{32}$") }
}
