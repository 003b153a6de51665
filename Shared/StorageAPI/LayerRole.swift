import RPC

/// What a layer is for.
public enum LayerRole: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// Holds the whole content.
  case base
  /// Holds what differs from its parent.
  case differencing
  /// Holds what was written since undo was enabled; to be kept, committed or discarded.
  case undo
}
