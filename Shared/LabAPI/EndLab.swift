import RPC

/// Stops all units and ends the lab.
public enum EndLab: RPCMethod {
  public static let name = "lab.end"
  public static let summary = "Stops all units and ends the lab."
  public static let access = Access.admin
  public static let effect = Effect.idempotent

  public typealias Params = Nothing

  public typealias Result = Nothing
}
