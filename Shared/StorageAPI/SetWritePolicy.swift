import Primitives
import RPC

/// Sets when writes to a volume are durable, and whether they wait while only one leg is in step. Effective at once, also for
/// clients that are connected.
public enum SetWritePolicy: RPCMethod {
  public static let name = "volume.setWritePolicy"
  public static let summary = "Sets when writes to a volume are durable, and whether they wait while one leg is lost."
  public static let access = Access.admin
  public static let effect = Effect.idempotent
  public static let failures: [StorageFailure] = [.noSuchVolume, .volumeInUse, .legUnavailable, .outOfSpace]

  /// What `volume.setWritePolicy` is told.
  public struct Params: WireObject, Equatable {
    /// The volume.
    public var volume: VolumeName
    /// When writes are durable; as it is when left out.
    public var cache: CachePolicy?
    /// What happens to writes while only one leg is in step; as it is when left out.
    public var onOneLeg: OneLegPolicy?

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, cache, onOneLeg
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume.")
      case .cache: Field(\.cache, "When writes are durable; as it is when left out.")
      case .onOneLeg:
        Field(\.onOneLeg, "What happens to writes while only one leg is in step; as it is when left out.")
      }
    }

    public init(volume: VolumeName, cache: CachePolicy? = nil, onOneLeg: OneLegPolicy? = nil) {
      self.volume = volume
      self.cache = cache
      self.onOneLeg = onOneLeg
    }
  }

  public typealias Result = VolumeStatus
}
