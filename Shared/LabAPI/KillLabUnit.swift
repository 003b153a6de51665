import RPC

/// Sends a signal to a unit's processes.
public enum KillLabUnit: RPCMethod {
  public static let name = "lab.killUnit"
  public static let summary = "Sends a signal to a unit's processes."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [LabFailure] = [.noSuchUnit]

  /// What `lab.killUnit` is told.
  public struct Params: WireObject, Equatable {
    /// Its name; a slice's name for all units of a module.
    public var unit: String
    /// Number of the signal.
    public var signal: Int

    public enum CodingKeys: CodingKey, CaseIterable {
      case unit, signal
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .unit: Field(\.unit, "Its name; a slice's name for all units of a module.")
      case .signal: Field(\.signal, "Number of the signal.", in: 1...64)
      }
    }

    public init(unit: String, signal: Int) {
      self.unit = unit
      self.signal = signal
    }
  }

  public typealias Result = Nothing
}
