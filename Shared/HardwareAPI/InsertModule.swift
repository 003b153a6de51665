import Primitives
import RPC

/// Puts a module back into its slot; it stays offline until brought online.
public enum InsertModule: RPCMethod {
  public static let name = "hardware.insert"
  public static let summary = "Puts a module back into its slot; it stays offline until brought online."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [HardwareFailure] = [.wrongState]

  /// What `hardware.insert` is told.
  public struct Params: WireObject, Equatable {
    /// The module.
    public var module: ModuleID

    public enum CodingKeys: CodingKey, CaseIterable {
      case module
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .module: Field(\.module, "The module.")
      }
    }

    public init(module: ModuleID) {
      self.module = module
    }
  }

  public typealias Result = ModuleStatus
}
