import RPC

/// How much an alert matters.
public enum Severity: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// For the records.
  case info
  /// Something needs attention before it gets worse.
  case warning
  /// Something failed; the host goes on without it.
  case error
  /// Service or data is lost, or the next fault will lose it.
  case critical
}
