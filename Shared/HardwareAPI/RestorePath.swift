import Primitives
import RPC

/// Ends the injected loss of a path to a leg; the services find out within seconds that it works again.
public enum RestorePath: RPCMethod {
  public static let name = "hardware.restorePath"
  public static let summary = "Ends the injected loss of a path to a leg."
  public static let access = Access.admin
  public static let effect = Effect.idempotent

  /// What `hardware.restorePath` is told.
  public struct Params: WireObject, Equatable {
    /// The leg.
    public var leg: LegID
    /// Number of the path: 0 or 1.
    public var path: Int

    public enum CodingKeys: CodingKey, CaseIterable {
      case leg, path
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .leg: Field(\.leg, "The leg.")
      case .path: Field(\.path, "Number of the path: 0 or 1.", in: 0...1)
      }
    }

    public init(leg: LegID, path: Int) {
      self.leg = leg
      self.path = path
    }
  }

  public typealias Result = PathStatus
}
