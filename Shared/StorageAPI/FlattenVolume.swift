import Primitives
import RPC

/// Copies into a volume all that it has from its image, which it no longer needs then. Begins a job; until it has ended
/// the volume cannot be used.
public enum FlattenVolume: RPCMethod {
  public static let name = "volume.flatten"
  public static let summary = "Copies into a volume all that it has from its image, which it no longer needs then."
  public static let access = Access.admin
  public static let effect = Effect.keyed
  public static let failures: [StorageFailure] = [
    .noSuchVolume, .volumeInUse, .undoLayerExists, .snapshotsExist, .legUnavailable, .outOfSpace,
  ]

  /// What `volume.flatten` is told.
  public struct Params: KeyedParams, Equatable {
    /// The volume; no client may be connected.
    public var volume: VolumeName
    /// Key that a repeat must carry.
    public var requestKey: RequestKey?

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, requestKey
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume; no client may be connected.")
      case .requestKey: Field(\.requestKey, "Key that a repeat must carry.")
      }
    }

    public init(volume: VolumeName, requestKey: RequestKey? = nil) {
      self.volume = volume
      self.requestKey = requestKey
    }
  }

  public typealias Result = JobStatus
}
