import RPC

/// Failures of this service, beside the common ones. Codes are stable; new ones are added at the end.
public enum HardwareFailure: Int, RPCFailure {
  case noSuchModule = 1001
  case wrongState
  case lastInService
  case noModuleInService
  case unitsDidNotStop

  public var summary: String {
    switch self {
    case .noSuchModule: "The host has no such module."
    case .wrongState: "The module's state does not allow this; the data names the state and what is allowed."
    case .lastInService: "The other module of the pair is not in service, so this one must stay."
    case .noModuleInService: "No CPU module is in service that could carry this."
    case .unitsDidNotStop: "Processes of the module could not be stopped."
    }
  }
}
