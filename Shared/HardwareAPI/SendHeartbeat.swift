import Primitives
import RPC

/// Tells that a CPU module is alive. Sent as a notification.
public enum SendHeartbeat: RPCMethod {
  public static let name = "hardware.heartbeat"
  public static let summary = "Tells that a CPU module is alive. Sent as a notification."
  public static let access = Access.service
  public static let effect = Effect.idempotent

  /// What `hardware.heartbeat` is told.
  public struct Params: WireObject, Equatable {
    /// The module.
    public var module: ModuleID
    /// The agent's.
    public var incarnation: GenerationID
    /// Grows by one with each.
    public var sequence: Int64
    /// True with the last beat of an agent that was told to end: that its connection ends then is no failure.
    public var isLast: Bool?

    public enum CodingKeys: CodingKey, CaseIterable {
      case module, incarnation, sequence, isLast
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .module: Field(\.module, "The module.")
      case .incarnation: Field(\.incarnation, "The agent's.")
      case .sequence: Field(\.sequence, "Grows by one with each.")
      case .isLast:
        Field(\.isLast, "True with the last beat of an agent that was told to end: its end is then no failure.")
      }
    }

    public static func usual(_ json: JSONValue) -> Params? {
      guard let members = json.object?.members, members.count == 3,
        let module = json["module"]?.string.flatMap(ModuleID.init(rawValue:)),
        let incarnation = json["incarnation"]?.string.flatMap(GenerationID.init(rawValue:)),
        let sequence = json["sequence"]?.integer
      else { return nil }
      return Params(module: module, incarnation: incarnation, sequence: sequence)
    }

    public init(module: ModuleID, incarnation: GenerationID, sequence: Int64, isLast: Bool? = nil) {
      self.module = module
      self.incarnation = incarnation
      self.sequence = sequence
      self.isLast = isLast
    }
  }

  public typealias Result = Nothing
}
