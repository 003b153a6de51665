import Primitives
import RPC

/// Gives a volume the content of a snapshot; what was written since its last snapshot is lost.
public enum RevertToSnapshot: RPCMethod {
  public static let name = "volume.revertToSnapshot"
  public static let summary =
    "Gives a volume the content of a snapshot; what was written since its last snapshot is lost."
  public static let access = Access.operator
  public static let effect = Effect.keyed
  public static let failures: [StorageFailure] = [
    .noSuchVolume, .noSuchSnapshot, .volumeInUse, .tooManyLayers, .legUnavailable, .outOfSpace,
  ]

  /// What `volume.revertToSnapshot` is told.
  public struct Params: KeyedParams, Equatable {
    /// The volume; no client may be connected.
    public var volume: VolumeName
    /// The snapshot.
    public var snapshot: SnapshotName
    /// Key that a repeat must carry.
    public var requestKey: RequestKey?

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, snapshot, requestKey
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume; no client may be connected.")
      case .snapshot: Field(\.snapshot, "The snapshot.")
      case .requestKey: Field(\.requestKey, "Key that a repeat must carry.")
      }
    }

    public init(volume: VolumeName, snapshot: SnapshotName, requestKey: RequestKey? = nil) {
      self.volume = volume
      self.snapshot = snapshot
      self.requestKey = requestKey
    }
  }

  public typealias Result = VolumeStatus
}
