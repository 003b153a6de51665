import RPC

/// How a pair of modules stands.
public enum PairState: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// Both in service and in step.
  case duplex
  /// Only one in service: the next fault stops the host.
  case simplex
  /// None in service.
  case down
}
