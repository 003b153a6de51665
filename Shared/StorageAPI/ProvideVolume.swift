import Primitives
import RPC

/// Makes a small volume with its first contents unless it is there.
public enum ProvideVolume: RPCMethod {
  public static let name = "volume.provide"
  public static let summary = "Makes a small volume with its first contents, unless it is there and was filled."
  public static let access = Access.service
  public static let effect = Effect.idempotent
  public static let failures: [StorageFailure] = [
    .sizeOutOfRange, .volumeInUse, .damagedLayer, .legUnavailable, .outOfSpace,
  ]

  /// What `volume.provide` is told.
  public struct Params: WireObject, Equatable {
    /// The volume.
    public var volume: VolumeName
    /// Its size and contents: bytes in base64, a multiple of 512 up to 4 MiB. Left out to ask only.
    public var data: String?

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, data
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume.")
      case .data:
        Field(
          \.data, "Its size and contents: bytes in base64, a multiple of 512 up to 4 MiB. Left out to ask only.")
      }
    }

    public init(volume: VolumeName, data: String? = nil) {
      self.volume = volume
      self.data = data
    }
  }

  /// What `volume.provide` answers.
  public struct Result: WireObject, Equatable {
    /// Whether the volume is there with something in its first 512 bytes.
    public var provided: Bool

    public enum CodingKeys: CodingKey, CaseIterable {
      case provided
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .provided: Field(\.provided, "Whether the volume is there with something in its first 512 bytes.")
      }
    }

    public init(provided: Bool) {
      self.provided = provided
    }
  }
}
