import Primitives
import RPC

/// Makes a volume larger; also while it is in use: a client sees the new size when it connects the next time. A
/// snapshot keeps the size that it has.
public enum ResizeVolume: RPCMethod {
  public static let name = "volume.resize"
  public static let summary = "Makes a volume larger; also while it is in use."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [StorageFailure] = [
    .noSuchVolume, .sizeOutOfRange, .volumeInUse, .undoLayerExists, .legUnavailable, .outOfSpace,
  ]

  /// What `volume.resize` is told.
  public struct Params: WireObject, Equatable {
    /// The volume.
    public var volume: VolumeName
    /// Its new size, a multiple of 512 up to 2040 GiB, not less than it is.
    public var sizeBytes: Int64

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, sizeBytes
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume.")
      case .sizeBytes: Field(\.sizeBytes, "Its new size, a multiple of 512 up to 2040 GiB, not less than it is.")
      }
    }

    public init(volume: VolumeName, sizeBytes: Int64) {
      self.volume = volume
      self.sizeBytes = sizeBytes
    }
  }

  public typealias Result = VolumeStatus
}
