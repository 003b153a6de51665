import RPC

/// Lists the modules and their states.
public enum GetModules: RPCMethod {
  public static let name = "hardware.modules"
  public static let summary = "Lists the modules and their states."
  public static let access = Access.viewer
  public static let effect = Effect.read

  public typealias Params = Nothing

  public typealias Result = ModuleList
}
