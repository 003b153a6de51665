import Primitives
import RPC

/// Injects the failure of a module: everything on it is killed at once and it stays broken until repaired.
public enum FailModule: RPCMethod {
  public static let name = "hardware.fail"
  public static let summary =
    "Injects the failure of a module: everything on it is killed at once and it stays broken until repaired."
  public static let access = Access.admin
  public static let effect = Effect.idempotent
  public static let failures: [HardwareFailure] = [.wrongState, .lastInService, .unitsDidNotStop]

  /// What `hardware.fail` is told.
  public struct Params: WireObject, Equatable {
    /// The module.
    public var module: ModuleID
    /// Why, for the records.
    public var reason: String?
    /// Fail the last module of its pair, too; the host then stops.
    public var force: Bool?

    public enum CodingKeys: CodingKey, CaseIterable {
      case module, reason, force
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .module: Field(\.module, "The module.")
      case .reason: Field(\.reason, "Why, for the records.")
      case .force: Field(\.force, "Fail the last module of its pair, too; the host then stops.")
      }
    }

    public init(module: ModuleID, reason: String? = nil, force: Bool? = nil) {
      self.module = module
      self.reason = reason
      self.force = force
    }
  }

  public typealias Result = ModuleStatus
}
