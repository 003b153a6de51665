import RPC

/// What an instance of a service is doing.
public enum ServiceRole: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// Serves; holds the lease.
  case active
  /// Ready to serve; waits for the lease.
  case standby
  /// Holds the lease but refuses to serve, because its state needs a decision of an administrator.
  case recovery
}
