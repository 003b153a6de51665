import RPC

/// Tells which instance serves, and how its state is kept.
public enum GetServiceStatus: RPCMethod {
  public static let name = "service.status"
  public static let summary = "Tells which instance serves, and how its state is kept."
  public static let access = Access.viewer
  public static let effect = Effect.read

  public typealias Params = Nothing

  public typealias Result = ServiceStatus
}
