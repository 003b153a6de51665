import Primitives
import RPC

/// Keeps a volume's present content under a name. Also while clients are connected: their requests wait a moment, and
/// the snapshot holds what was answered before, as after a power cut.
public enum CreateSnapshot: RPCMethod {
  public static let name = "volume.createSnapshot"
  public static let summary = "Keeps a volume's present content under a name; also while it is in use."
  public static let access = Access.operator
  public static let effect = Effect.keyed
  public static let failures: [StorageFailure] = [
    .noSuchVolume, .volumeInUse, .snapshotExists, .undoLayerExists, .tooManyLayers, .legUnavailable, .outOfSpace,
    .checkpointExists, .tooManyCheckpoints,
  ]

  /// What `volume.createSnapshot` is told.
  public struct Params: KeyedParams, Equatable {
    /// The volume.
    public var volume: VolumeName
    /// Name of the snapshot.
    public var snapshot: SnapshotName
    /// What it is, at most 1,000 characters.
    public var description: String?
    /// Makes a checkpoint of this name at the same moment: from then on it is kept which blocks of the volume change.
    public var checkpoint: CheckpointName?
    /// Key that a repeat must carry.
    public var requestKey: RequestKey?

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, snapshot, description, checkpoint, requestKey
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume.")
      case .snapshot: Field(\.snapshot, "Name of the snapshot.")
      case .description: Field(\.description, "What it is, at most 1,000 characters.")
      case .checkpoint:
        Field(
          \.checkpoint,
          "Makes a checkpoint of this name at the same moment: from then on it is kept which blocks of the volume change."
        )
      case .requestKey: Field(\.requestKey, "Key that a repeat must carry.")
      }
    }

    public init(
      volume: VolumeName, snapshot: SnapshotName, description: String? = nil, checkpoint: CheckpointName? = nil,
      requestKey: RequestKey? = nil
    ) {
      self.volume = volume
      self.snapshot = snapshot
      self.description = description
      self.checkpoint = checkpoint
      self.requestKey = requestKey
    }
  }

  public typealias Result = VolumeStatus
}
