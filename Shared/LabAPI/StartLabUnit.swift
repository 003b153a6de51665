import RPC

/// Starts a unit; answers when it is ready.
public enum StartLabUnit: RPCMethod {
  public static let name = "lab.startUnit"
  public static let summary = "Starts a unit; answers when it is ready."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [LabFailure] = [.noSuchUnit, .unitFailed]

  /// What `lab.startUnit` is told.
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
