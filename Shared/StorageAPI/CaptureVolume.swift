import Primitives
import RPC

/// Copies a volume's content, or a snapshot's, into a new image of the library; the volume stays. Begins a job. The
/// image stands alone: it needs no other image.
public enum CaptureVolume: RPCMethod {
  public static let name = "library.capture"
  public static let summary =
    "Copies a volume's content, or a snapshot's, into a new image of the library; the volume stays."
  public static let access = Access.admin
  public static let effect = Effect.keyed
  public static let failures: [StorageFailure] = [
    .noSuchVolume, .noSuchSnapshot, .volumeInUse, .imageExists, .legUnavailable, .outOfSpace,
  ]

  /// What `library.capture` is told.
  public struct Params: KeyedParams, Equatable {
    /// The volume; without a snapshot, no client may be connected.
    public var volume: VolumeName
    /// The snapshot to copy; the present content when left out.
    public var snapshot: SnapshotName?
    /// Name of the image.
    public var image: ImageName
    /// What it is, at most 1,000 characters.
    public var description: String?
    /// Key that a repeat must carry.
    public var requestKey: RequestKey?

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, snapshot, image, description, requestKey
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume; without a snapshot, no client may be connected.")
      case .snapshot: Field(\.snapshot, "The snapshot to copy; the present content when left out.")
      case .image: Field(\.image, "Name of the image.")
      case .description: Field(\.description, "What it is, at most 1,000 characters.")
      case .requestKey: Field(\.requestKey, "Key that a repeat must carry.")
      }
    }

    public init(
      volume: VolumeName,
      snapshot: SnapshotName? = nil,
      image: ImageName,
      description: String? = nil,
      requestKey: RequestKey? = nil
    ) {
      self.volume = volume
      self.snapshot = snapshot
      self.image = image
      self.description = description
      self.requestKey = requestKey
    }
  }

  public typealias Result = JobStatus
}
