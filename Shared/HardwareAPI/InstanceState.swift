import RPC

/// What one of a service's two instances is doing.
public enum InstanceState: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// Serves.
  case active
  /// Ready to take over.
  case standby
  /// Started, not yet ready.
  case starting
  /// Not running.
  case down
}
