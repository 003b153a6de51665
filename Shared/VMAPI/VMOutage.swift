import RPC

/// A time during which a virtual machine was not up.
public struct VMOutage: WireObject, Equatable {
  /// When it began, in milliseconds since 1970.
  public var beginMilliseconds: Int64
  /// When it ended; left out while it lasts.
  public var endMilliseconds: Int64?
  /// Whether somebody asked for it.
  public var planned: Bool
  /// Why.
  public var cause: String

  public enum CodingKeys: CodingKey, CaseIterable {
    case beginMilliseconds, endMilliseconds, planned, cause
  }

  public static func field(_ key: CodingKeys) -> Field<VMOutage> {
    switch key {
    case .beginMilliseconds: Field(\.beginMilliseconds, "When it began, in milliseconds since 1970.")
    case .endMilliseconds: Field(\.endMilliseconds, "When it ended; left out while it lasts.")
    case .planned: Field(\.planned, "Whether somebody asked for it.")
    case .cause: Field(\.cause, "Why.")
    }
  }

  public init(beginMilliseconds: Int64, endMilliseconds: Int64? = nil, planned: Bool, cause: String) {
    self.beginMilliseconds = beginMilliseconds
    self.endMilliseconds = endMilliseconds
    self.planned = planned
    self.cause = cause
  }
}
