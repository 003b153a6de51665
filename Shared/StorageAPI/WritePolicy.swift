import RPC

/// When what a client wrote to a volume is durable.
public enum CachePolicy: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// When a flush after it, or a write that forces unit access, was answered.
  case writeBack
  /// When the write was answered.
  case writeThrough
}

/// What happens to the writes of a volume's clients while only one leg is in step.
public enum OneLegPolicy: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// They go on with one copy.
  case `continue`
  /// They are not answered until both legs hold them.
  case hold
}
