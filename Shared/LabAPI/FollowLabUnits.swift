import RPC

/// Sends each unit's state now, and then each change.
public enum FollowLabUnits: RPCSubscription {
  public static let name = "lab.followUnits"
  public static let summary = "Sends each unit's state now, and then each change."
  public static let access = Access.viewer
  public static let effect = Effect.read

  public typealias Params = Nothing

  public typealias Event = LabUnit
}
