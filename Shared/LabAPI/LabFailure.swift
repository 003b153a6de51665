import RPC

/// Failures of this service, beside the common ones. Codes are stable; new ones are added at the end.
public enum LabFailure: Int, RPCFailure {
  case noSuchUnit = 5001
  case unitFailed

  public var summary: String {
    switch self {
    case .noSuchUnit: "The lab has no such unit."
    case .unitFailed: "The unit's process ended instead of becoming ready."
    }
  }
}
