import Primitives
import RPC

/// Injects the loss of one of the two paths to a leg: nothing reaches the leg by it until it is restored.
public enum FailPath: RPCMethod {
  public static let name = "hardware.failPath"
  public static let summary =
    "Injects the loss of one of the two paths to a leg: nothing reaches the leg by it until it is restored."
  public static let access = Access.admin
  public static let effect = Effect.idempotent
  public static let failures: [HardwareFailure] = [.lastInService]

  /// What `hardware.failPath` is told.
  public struct Params: WireObject, Equatable {
    /// The leg.
    public var leg: LegID
    /// Number of the path: 0 or 1.
    public var path: Int
    /// Why, for the records.
    public var reason: String?
    /// Fail the last path of the leg, too; the leg is lost then.
    public var force: Bool?

    public enum CodingKeys: CodingKey, CaseIterable {
      case leg, path, reason, force
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .leg: Field(\.leg, "The leg.")
      case .path: Field(\.path, "Number of the path: 0 or 1.", in: 0...1)
      case .reason: Field(\.reason, "Why, for the records.")
      case .force: Field(\.force, "Fail the last path of the leg, too; the leg is lost then.")
      }
    }

    public init(leg: LegID, path: Int, reason: String? = nil, force: Bool? = nil) {
      self.leg = leg
      self.path = path
      self.reason = reason
      self.force = force
    }
  }

  public typealias Result = PathStatus
}
