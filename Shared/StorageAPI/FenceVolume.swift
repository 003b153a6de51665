import Primitives
import RPC

/// Ends every NBD session of a volume and refuses its older exports for good. When answered, nothing that an older
/// session sent is in flight or will be written.
public enum FenceVolume: RPCMethod {
  public static let name = "volume.fence"
  public static let summary = "Ends every NBD session of a volume and refuses its older exports for good."
  public static let access = Access.service
  public static let effect = Effect.idempotent
  public static let failures: [StorageFailure] = [.noSuchVolume]

  /// What `volume.fence` is told.
  public struct Params: WireObject, Equatable {
    /// The volume.
    public var volume: VolumeName

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume.")
      }
    }

    public init(volume: VolumeName) {
      self.volume = volume
    }
  }

  public typealias Result = VolumeStatus
}
