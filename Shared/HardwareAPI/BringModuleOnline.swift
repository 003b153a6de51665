import Primitives
import RPC

/// Brings a module that is offline, broken or shot back into service. Answers when the module has begun to start;
/// follow `hardware.followModules` until it is online.
public enum BringModuleOnline: RPCMethod {
  public static let name = "hardware.online"
  public static let summary = "Brings a module that is offline, broken or shot back into service."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [HardwareFailure] = [.wrongState]

  /// What `hardware.online` is told.
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
