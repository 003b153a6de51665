import RPC

/// Shows one unit.
public enum ShowLabUnit: RPCMethod {
  public static let name = "lab.unit"
  public static let summary = "Shows one unit."
  public static let access = Access.viewer
  public static let effect = Effect.read
  public static let failures: [LabFailure] = [.noSuchUnit]

  /// What `lab.unit` is told.
  public struct Params: WireObject, Equatable {
    /// Its name.
    public var unit: String

    public enum CodingKeys: CodingKey, CaseIterable {
      case unit
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .unit: Field(\.unit, "Its name.")
      }
    }

    public init(unit: String) {
      self.unit = unit
    }
  }

  public typealias Result = LabUnit
}
