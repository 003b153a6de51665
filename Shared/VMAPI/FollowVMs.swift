import RPC

/// Sends every virtual machine's state now, and then each change.
public enum FollowVMs: RPCSubscription {
  public static let name = "vm.follow"
  public static let summary = "Sends every virtual machine's state now, and then each change."
  public static let access = Access.viewer
  public static let effect = Effect.read

  public typealias Params = Nothing

  public typealias Event = VMEvent
}
