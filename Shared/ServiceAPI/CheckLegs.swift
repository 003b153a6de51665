import RPC

/// Looks at the legs at once and takes back one that is there again, however lately it failed. By itself a service waits
/// before it tries again, longer with each failure.
public enum CheckLegs: RPCMethod {
  public static let name = "service.checkLegs"
  public static let summary = "Looks at the legs at once and takes back one that is there again."
  public static let access = Access.operator
  public static let effect = Effect.idempotent

  public typealias Params = Nothing
  public typealias Result = ServiceStatus
}
