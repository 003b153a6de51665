import RPC

/// Sends every module's state now, and then each change.
public enum FollowModules: RPCSubscription {
  public static let name = "hardware.followModules"
  public static let summary = "Sends every module's state now, and then each change."
  public static let access = Access.viewer
  public static let effect = Effect.read

  public typealias Params = Nothing

  public typealias Event = ModuleStatus
}
