/// Describes the service: an OpenRPC 1.3 document.
public enum Discover: RPCMethod {
  public static let name = "rpc.discover"
  public static let summary = "Describes the service's methods: an OpenRPC 1.3 document."
  public static let access = Access.anyone
  public static let effect = Effect.read

  public typealias Params = Nothing
  public typealias Result = JSONValue
}

/// Ends a subscription of the same connection.
public enum Unsubscribe: RPCMethod {
  public static let name = "rpc.unsubscribe"
  public static let summary =
    "Ends a subscription of the same connection; no event of it follows the answer. One that has ended is fine, too."
  public static let access = Access.anyone
  public static let effect = Effect.idempotent

  public typealias Params = Subscribed
  public typealias Result = Nothing
}
