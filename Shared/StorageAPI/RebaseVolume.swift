import Primitives
import RPC

/// Bases a volume on another image; its content stays as it is. What differs from the image is kept in the volume's own
/// layer. Begins a job; until it has ended the volume cannot be used.
public enum RebaseVolume: RPCMethod {
  public static let name = "volume.rebase"
  public static let summary = "Bases a volume on another image; its content stays as it is."
  public static let access = Access.admin
  public static let effect = Effect.keyed
  public static let failures: [StorageFailure] = [
    .noSuchVolume, .noSuchImage, .volumeInUse, .undoLayerExists, .snapshotsExist, .sizeOutOfRange, .legUnavailable,
    .outOfSpace,
  ]

  /// What `volume.rebase` is told.
  public struct Params: KeyedParams, Equatable {
    /// The volume; no client may be connected.
    public var volume: VolumeName
    /// The image that it is to be based on; at most as large as the volume.
    public var image: ImageName
    /// Key that a repeat must carry.
    public var requestKey: RequestKey?

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, image, requestKey
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume; no client may be connected.")
      case .image: Field(\.image, "The image that it is to be based on; at most as large as the volume.")
      case .requestKey: Field(\.requestKey, "Key that a repeat must carry.")
      }
    }

    public init(volume: VolumeName, image: ImageName, requestKey: RequestKey? = nil) {
      self.volume = volume
      self.image = image
      self.requestKey = requestKey
    }
  }

  public typealias Result = JobStatus
}
