import Primitives
import RPC

/// A definition that a virtual machine has, or had.
public struct VMVersion: WireObject, Equatable {
  /// Where a definition came from.
  public enum Origin: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
    /// A call of `vm.define`.
    case defined
    /// A file that was edited by hand and taken by `vm.reload`.
    case reloaded
    /// A file that was edited by hand and replaced by a later definition: it was never in force.
    case replaced
  }

  /// Its number; the highest one that was in force is the current one.
  public var version: Int
  /// When it was written down, in milliseconds since 1970; 0 when that is not known.
  public var definedMilliseconds: Int64
  /// Where it came from.
  public var origin: Origin
  /// Bytes of its text.
  public var sizeBytes: Int64
  /// Whether it is the current one.
  public var current: Bool

  public enum CodingKeys: CodingKey, CaseIterable {
    case version, definedMilliseconds, origin, sizeBytes, current
  }

  public static func field(_ key: CodingKeys) -> Field<VMVersion> {
    switch key {
    case .version: Field(\.version, "Its number; later ones are higher.")
    case .definedMilliseconds:
      Field(\.definedMilliseconds, "When it was written down, in milliseconds since 1970; 0 when that is not known.")
    case .origin:
      Field(
        \.origin,
        "Where it came from: a call (defined), a file edited by hand (reloaded), or such a file that a later definition "
          + "replaced before it was in force (replaced).")
    case .sizeBytes: Field(\.sizeBytes, "Bytes of its text.")
    case .current: Field(\.current, "Whether it is the current one.")
    }
  }

  public init(version: Int, definedMilliseconds: Int64, origin: Origin, sizeBytes: Int64, current: Bool) {
    self.version = version
    self.definedMilliseconds = definedMilliseconds
    self.origin = origin
    self.sizeBytes = sizeBytes
    self.current = current
  }
}
