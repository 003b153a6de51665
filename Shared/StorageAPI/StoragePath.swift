import RPC

/// One of the paths by which the storage service reaches a leg.
public struct StoragePath: WireObject, Equatable {
  /// Its number on the leg.
  public var path: Int
  /// How it stands.
  public var state: StoragePathState
  /// Why it failed, in a sentence.
  public var reason: String?
  /// When it came into this state, in milliseconds since 1970.
  public var sinceMilliseconds: Int64
  /// The directory of the leg by this path.
  public var directory: String

  public enum CodingKeys: CodingKey, CaseIterable {
    case path, state, reason, sinceMilliseconds, directory
  }

  public static func field(_ key: CodingKeys) -> Field<StoragePath> {
    switch key {
    case .path: Field(\.path, "Its number on the leg.")
    case .state: Field(\.state, "How it stands.")
    case .reason: Field(\.reason, "Why it failed, in a sentence.")
    case .sinceMilliseconds: Field(\.sinceMilliseconds, "When it came into this state, in milliseconds since 1970.")
    case .directory: Field(\.directory, "The directory of the leg by this path.")
    }
  }

  public init(
    path: Int, state: StoragePathState, reason: String? = nil, sinceMilliseconds: Int64, directory: String
  ) {
    self.path = path
    self.state = state
    self.reason = reason
    self.sinceMilliseconds = sinceMilliseconds
    self.directory = directory
  }
}

/// How a path to a leg stands.
public enum StoragePathState: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// The leg is reached by it.
  case active
  /// The leg can be reached by it.
  case standby
  /// The leg cannot be reached by it.
  case failed
}
