import RPC

/// How a leg stands to the data in service.
public enum StorageLegState: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// Holds all that was acknowledged.
  case inStep
  /// Gets what it missed; not yet to be relied on.
  case resyncing
  /// Not reachable, or dropped after an error.
  case lost
  /// Reachable, but known to be older than the data in service.
  case stale
}
