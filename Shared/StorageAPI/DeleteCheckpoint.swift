import Primitives
import RPC

/// Forgets a checkpoint of a volume; what changed since older ones is still known. Also while clients are connected:
/// their requests wait a moment.
public enum DeleteCheckpoint: RPCMethod {
  public static let name = "volume.deleteCheckpoint"
  public static let summary = "Forgets a checkpoint of a volume; what changed since older ones is still known."
  public static let access = Access.operator
  public static let effect = Effect.keyed
  public static let failures: [StorageFailure] = [
    .noSuchVolume, .noSuchCheckpoint, .volumeInUse, .legUnavailable, .outOfSpace,
  ]

  /// What `volume.deleteCheckpoint` is told.
  public struct Params: KeyedParams, Equatable {
    /// The volume.
    public var volume: VolumeName
    /// The checkpoint.
    public var checkpoint: CheckpointName
    /// Key that a repeat must carry.
    public var requestKey: RequestKey?

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, checkpoint, requestKey
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume.")
      case .checkpoint: Field(\.checkpoint, "The checkpoint.")
      case .requestKey: Field(\.requestKey, "Key that a repeat must carry.")
      }
    }

    public init(volume: VolumeName, checkpoint: CheckpointName, requestKey: RequestKey? = nil) {
      self.volume = volume
      self.checkpoint = checkpoint
      self.requestKey = requestKey
    }
  }

  public typealias Result = VolumeStatus
}
