/// A JSON object with named members, each documented.
///
/// The members are the coding keys; `field(_:)` switches over them, so one without a description does not compile.
public protocol WireObject: WireValue {
  associatedtype CodingKeys: CodingKey & CaseIterable
  /// What the member of this name holds.
  static func field(_ key: CodingKeys) -> Field<Self>
}

extension WireObject {
  public static var schema: Schema {
    .object(
      ObjectSchema(
        title: Self.title,
        properties: CodingKeys.allCases.map { key in
          let field = field(key)
          return ObjectSchema.Property(
            name: key.stringValue, summary: field.summary, schema: field.schema, isRequired: field.isRequired)
        }))
  }

  /// The type's name with its enclosing types', without the module's: `VolumeCreate.Params` is `VolumeCreateParams`.
  public static var title: String {
    // A private type's name also holds its file's: "(unknown context at $1234)".
    String(reflecting: Self.self).split(separator: ".").dropFirst().filter { !$0.hasPrefix("(") }.joined()
  }
}

/// One member of a wire object: its type, a sentence about it, and the range of what it accepts.
public struct Field<Root>: Sendable {
  /// One sentence, with the unit where there is one.
  public let summary: String
  public var schema: Schema { makeSchema() }
  public let isRequired: Bool
  /// Whether `complaint` can have something to say.
  let isChecked: Bool
  private let makeSchema: @Sendable () -> Schema
  /// A sentence that says what is wrong with this member of `root`, or nil when nothing is.
  public let complaint: @Sendable (_ root: Root) -> String?

  /// A member that accepts every value of its type.
  public init<Value: WireValue>(_ path: KeyPath<Root, Value>, _ summary: String) {
    self.summary = summary
    makeSchema = { Value.schema }
    isRequired = !Value.mayBeAbsent
    isChecked = false
    complaint = { _ in nil }
  }

  /// An integer that accepts a range.
  public init(_ path: KeyPath<Root, Int> & Sendable, _ summary: String, in range: ClosedRange<Int>) {
    self.summary = summary
    makeSchema = { .integer(minimum: Int64(range.lowerBound), maximum: Int64(range.upperBound)) }
    isChecked = true
    isRequired = true
    complaint = { Self.complaint(about: $0[keyPath: path], range) }
  }

  /// An integer that may be left out and accepts a range.
  public init(_ path: KeyPath<Root, Int?> & Sendable, _ summary: String, in range: ClosedRange<Int>) {
    self.summary = summary
    makeSchema = { .integer(minimum: Int64(range.lowerBound), maximum: Int64(range.upperBound)) }
    isChecked = true
    isRequired = false
    complaint = { root in root[keyPath: path].flatMap { Self.complaint(about: $0, range) } }
  }

  private static func complaint(about value: Int, _ range: ClosedRange<Int>) -> String? {
    range.contains(value) ? nil : "\(value) is not between \(range.lowerBound) and \(range.upperBound)"
  }
}

/// The parameters or the result of a method that has none.
public struct Nothing: WireObject, Equatable {
  public enum CodingKeys: CodingKey, CaseIterable {}
  public static func field(_ key: CodingKeys) -> Field<Nothing> {}
  public init() {}
  public init(from decoder: any Decoder) throws {}
  public func encode(to encoder: any Encoder) throws { _ = encoder.container(keyedBy: CodingKeys.self) }
}
