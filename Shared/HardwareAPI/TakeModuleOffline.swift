import Primitives
import RPC

/// Takes a module out of service in good order: what runs on it goes to its partner.
public enum TakeModuleOffline: RPCMethod {
  public static let name = "hardware.offline"
  public static let summary = "Takes a module out of service in good order: what runs on it goes to its partner."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [HardwareFailure] = [.wrongState, .lastInService, .unitsDidNotStop]

  /// What `hardware.offline` is told.
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
