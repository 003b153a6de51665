import Primitives
import RPC

/// Throws away all that was written since undo was enabled.
public enum DiscardUndo: RPCMethod {
  public static let name = "volume.discardUndo"
  public static let summary = "Throws away all that was written since undo was enabled."
  public static let access = Access.operator
  public static let effect = Effect.keyed
  public static let failures: [StorageFailure] = [
    .noSuchVolume, .volumeInUse, .noUndoLayer, .legUnavailable, .outOfSpace,
  ]

  /// What `volume.discardUndo` is told.
  public struct Params: KeyedParams, Equatable {
    /// The volume; it must not be exported.
    public var volume: VolumeName
    /// Whether to put a new, empty undo layer on top afterwards.
    public var keepEnabled: Bool?
    /// Key that a repeat must carry.
    public var requestKey: RequestKey?

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, keepEnabled, requestKey
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume; it must not be exported.")
      case .keepEnabled: Field(\.keepEnabled, "Whether to put a new, empty undo layer on top afterwards.")
      case .requestKey: Field(\.requestKey, "Key that a repeat must carry.")
      }
    }

    public init(volume: VolumeName, keepEnabled: Bool? = nil, requestKey: RequestKey? = nil) {
      self.volume = volume
      self.keepEnabled = keepEnabled
      self.requestKey = requestKey
    }
  }

  public typealias Result = VolumeStatus
}
