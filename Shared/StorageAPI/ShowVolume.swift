import Primitives
import RPC

/// Shows one volume.
public enum ShowVolume: RPCMethod {
  public static let name = "volume.show"
  public static let summary = "Shows one volume."
  public static let access = Access.viewer
  public static let effect = Effect.read
  public static let failures: [StorageFailure] = [.noSuchVolume]

  /// What `volume.show` is told.
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
