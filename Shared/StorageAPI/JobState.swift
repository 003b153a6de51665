import RPC

/// How an operation that lasts stands.
public enum JobState: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// It works, or will as soon as others have ended. The next instance of the service goes on with it.
  case running
  /// All was done.
  case done
  /// It could not go on; nothing was changed.
  case failed
  /// It was ended by `job.cancel`; nothing was changed.
  case cancelled
}
