import Primitives
import RPC

/// Forgets a snapshot and frees what only it holds; the volume's content and other snapshots stay. The name is gone
/// when this is answered; where a layer has to be merged, a job does that, also while the volume is in use.
public enum DeleteSnapshot: RPCMethod {
  public static let name = "volume.deleteSnapshot"
  public static let summary =
    "Forgets a snapshot and frees what only it holds; the volume's content and other snapshots stay."
  public static let access = Access.operator
  public static let effect = Effect.keyed
  public static let failures: [StorageFailure] = [
    .noSuchVolume, .noSuchSnapshot, .volumeInUse, .legUnavailable, .outOfSpace,
  ]

  /// What `volume.deleteSnapshot` is told.
  public struct Params: KeyedParams, Equatable {
    /// The volume.
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
      case .volume: Field(\.volume, "The volume.")
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

  public typealias Result = JobStatus
}
