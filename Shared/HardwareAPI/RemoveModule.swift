import Primitives
import RPC

/// Takes a module that is out of service from its slot.
public enum RemoveModule: RPCMethod {
  public static let name = "hardware.remove"
  public static let summary = "Takes a module that is out of service from its slot."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [HardwareFailure] = [.wrongState]

  /// What `hardware.remove` is told.
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
