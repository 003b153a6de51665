import RPC

/// Lists the units.
public enum ListLabUnits: RPCMethod {
  public static let name = "lab.units"
  public static let summary = "Lists the units."
  public static let access = Access.viewer
  public static let effect = Effect.read

  public typealias Params = Nothing

  public typealias Result = LabStatus
}
