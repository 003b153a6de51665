import Primitives
import RPC

/// Puts an undo layer on top of a volume; what is written from now on can be discarded.
public enum EnableUndo: RPCMethod {
  public static let name = "volume.enableUndo"
  public static let summary = "Puts an undo layer on top of a volume; what is written from now on can be discarded."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [StorageFailure] = [.noSuchVolume, .volumeInUse, .legUnavailable, .outOfSpace]

  /// What `volume.enableUndo` is told.
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
