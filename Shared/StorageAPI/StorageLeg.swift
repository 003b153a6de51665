import Primitives
import RPC

/// One leg.
public struct StorageLeg: WireObject, Equatable {
  /// The leg.
  public var leg: LegID
  /// How it stands.
  public var state: StorageLegState
  /// Why it is not in step, in a sentence.
  public var reason: String?
  /// When it came into this state, in milliseconds since 1970.
  public var sinceMilliseconds: Int64
  /// While it resyncs: bytes copied so far.
  public var doneBytes: Int64?
  /// While it resyncs: bytes to copy.
  public var totalBytes: Int64?
  /// Space left on it.
  public var freeBytes: Int64?
  /// The paths by which the storage service reaches it.
  public var paths: [StoragePath]

  public enum CodingKeys: CodingKey, CaseIterable {
    case leg, state, reason, sinceMilliseconds, doneBytes, totalBytes, freeBytes, paths
  }

  public static func field(_ key: CodingKeys) -> Field<StorageLeg> {
    switch key {
    case .leg: Field(\.leg, "The leg.")
    case .state: Field(\.state, "How it stands.")
    case .reason: Field(\.reason, "Why it is not in step, in a sentence.")
    case .sinceMilliseconds: Field(\.sinceMilliseconds, "When it came into this state, in milliseconds since 1970.")
    case .doneBytes: Field(\.doneBytes, "While it resyncs: bytes copied so far.")
    case .totalBytes: Field(\.totalBytes, "While it resyncs: bytes to copy.")
    case .freeBytes: Field(\.freeBytes, "Space left on it.")
    case .paths: Field(\.paths, "The paths by which the storage service reaches it.")
    }
  }

  public init(
    leg: LegID,
    state: StorageLegState,
    reason: String? = nil,
    sinceMilliseconds: Int64,
    doneBytes: Int64? = nil,
    totalBytes: Int64? = nil,
    freeBytes: Int64? = nil,
    paths: [StoragePath] = []
  ) {
    self.leg = leg
    self.state = state
    self.reason = reason
    self.sinceMilliseconds = sinceMilliseconds
    self.doneBytes = doneBytes
    self.totalBytes = totalBytes
    self.freeBytes = freeBytes
    self.paths = paths
  }
}
