import Primitives
import RPC

/// Creates a volume: empty, or as a differencing layer on a library image.
public enum CreateVolume: RPCMethod {
  public static let name = "volume.create"
  public static let summary = "Creates a volume: empty, or as a differencing layer on a library image."
  public static let access = Access.admin
  public static let effect = Effect.keyed
  public static let failures: [StorageFailure] = [
    .volumeExists, .noSuchImage, .sizeOutOfRange, .legUnavailable, .outOfSpace,
  ]

  /// What `volume.create` is told.
  public struct Params: KeyedParams, Equatable {
    /// Its name.
    public var volume: VolumeName
    /// Its size, a multiple of 512 up to 2040 GiB; the image's when left out.
    public var sizeBytes: Int64?
    /// Library image that it is based on; left out for an empty volume.
    public var image: ImageName?
    /// Whether to put an undo layer on top.
    public var undo: Bool?
    /// When writes are durable; `writeBack` when left out.
    public var cache: CachePolicy?
    /// What happens to writes while only one leg is in step; `continue` when left out.
    public var onOneLeg: OneLegPolicy?
    /// Key that a repeat must carry.
    public var requestKey: RequestKey?

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, sizeBytes, image, undo, cache, onOneLeg, requestKey
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "Its name.")
      case .sizeBytes: Field(\.sizeBytes, "Its size, a multiple of 512 up to 2040 GiB; the image's when left out.")
      case .image: Field(\.image, "Library image that it is based on; left out for an empty volume.")
      case .undo: Field(\.undo, "Whether to put an undo layer on top.")
      case .cache: Field(\.cache, "When writes are durable; writeBack when left out.")
      case .onOneLeg:
        Field(\.onOneLeg, "What happens to writes while only one leg is in step; continue when left out.")
      case .requestKey: Field(\.requestKey, "Key that a repeat must carry.")
      }
    }

    public init(
      volume: VolumeName,
      sizeBytes: Int64? = nil,
      image: ImageName? = nil,
      undo: Bool? = nil,
      cache: CachePolicy? = nil,
      onOneLeg: OneLegPolicy? = nil,
      requestKey: RequestKey? = nil
    ) {
      self.volume = volume
      self.sizeBytes = sizeBytes
      self.image = image
      self.undo = undo
      self.cache = cache
      self.onOneLeg = onOneLeg
      self.requestKey = requestKey
    }
  }

  public typealias Result = VolumeStatus
}
