import Primitives
import RPC

/// Makes a volume into a read-only image of the library; the volume ceases to exist.
public enum PromoteVolume: RPCMethod {
  public static let name = "library.promote"
  public static let summary = "Makes a volume into a read-only image of the library; the volume ceases to exist."
  public static let access = Access.admin
  public static let effect = Effect.keyed
  public static let failures: [StorageFailure] = [
    .noSuchVolume, .volumeInUse, .imageExists, .undoLayerExists, .basedOnImage, .snapshotsExist,
    .legUnavailable, .outOfSpace,
  ]

  /// What `library.promote` is told.
  public struct Params: KeyedParams, Equatable {
    /// The volume; it must not be exported and not be based on an image.
    public var volume: VolumeName
    /// Name of the image.
    public var image: ImageName
    /// What it is, at most 1,000 characters.
    public var description: String?
    /// Key that a repeat must carry.
    public var requestKey: RequestKey?

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, image, description, requestKey
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume; it must not be exported and not be based on an image.")
      case .image: Field(\.image, "Name of the image.")
      case .description: Field(\.description, "What it is, at most 1,000 characters.")
      case .requestKey: Field(\.requestKey, "Key that a repeat must carry.")
      }
    }

    public init(volume: VolumeName, image: ImageName, description: String? = nil, requestKey: RequestKey? = nil) {
      self.volume = volume
      self.image = image
      self.description = description
      self.requestKey = requestKey
    }
  }

  public typealias Result = ImageStatus
}
