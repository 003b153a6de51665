import RPC

/// Stops a unit; answers when all its processes are gone.
public enum StopLabUnit: RPCMethod {
  public static let name = "lab.stopUnit"
  public static let summary = "Stops a unit; answers when all its processes are gone."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [LabFailure] = [.noSuchUnit]

  /// What `lab.stopUnit` is told.
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
