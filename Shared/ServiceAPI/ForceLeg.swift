import Primitives
import RPC

/// Starts a service that refused from one leg alone, giving up what only the other holds. Only for a service in
/// recovery: its `service.status` says why it refused. Raises a critical alert.
public enum ForceLeg: RPCMethod {
  public static let name = "service.forceLeg"
  public static let summary = "Starts a service that refused from one leg alone, giving up what only the other holds."
  public static let access = Access.admin
  public static let effect = Effect.idempotent

  /// What `service.forceLeg` is told.
  public struct Params: WireObject, Equatable {
    /// The leg whose data is taken as right.
    public var leg: LegID

    public enum CodingKeys: CodingKey, CaseIterable {
      case leg
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .leg: Field(\.leg, "The leg whose data is taken as right.")
      }
    }

    public init(leg: LegID) {
      self.leg = leg
    }
  }

  public typealias Result = ServiceStatus
}
