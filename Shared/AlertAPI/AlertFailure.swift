import RPC

/// Failures of this service, beside the common ones. Codes are stable; new ones are added at the end.
public enum AlertFailure: Int, RPCFailure {
  case noSuchAlert = 4001
  case alertTooLarge

  public var summary: String {
    switch self {
    case .noSuchAlert: "The log holds no alert with that number, or no longer."
    case .alertTooLarge: "An alert exceeds the size limit."
    }
  }
}
