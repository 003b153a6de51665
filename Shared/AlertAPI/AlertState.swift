import RPC

/// Whether somebody still has to look at it.
public enum AlertState: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// For the records; nobody has to.
  case recorded
  /// Nobody acknowledged it yet.
  case open
  /// Somebody did.
  case acknowledged
}
