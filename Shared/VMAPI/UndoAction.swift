import RPC

/// What becomes of what was written to undo disks.
public enum UndoAction: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// It stays apart, and may be committed or discarded later.
  case keep
  /// It becomes final.
  case commit
  /// It is given up.
  case discard
}
