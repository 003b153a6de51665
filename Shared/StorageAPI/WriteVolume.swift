import Primitives
import RPC

/// Writes bytes to a volume that is not exported; durable when answered.
public enum WriteVolume: RPCMethod {
  public static let name = "volume.write"
  public static let summary = "Writes bytes to a volume that is not exported; durable when answered."
  public static let access = Access.admin
  public static let effect = Effect.idempotent
  public static let failures: [StorageFailure] = [
    .noSuchVolume, .volumeInUse, .outOfRange, .legUnavailable, .outOfSpace,
  ]

  /// What `volume.write` is told.
  public struct Params: WireObject, Equatable {
    /// The volume.
    public var volume: VolumeName
    /// Where to begin.
    public var offsetBytes: Int64
    /// The bytes in base64, at most 4 MiB of them.
    public var data: String

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, offsetBytes, data
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume.")
      case .offsetBytes: Field(\.offsetBytes, "Where to begin.")
      case .data: Field(\.data, "The bytes in base64, at most 4 MiB of them.")
      }
    }

    public init(volume: VolumeName, offsetBytes: Int64, data: String) {
      self.volume = volume
      self.offsetBytes = offsetBytes
      self.data = data
    }
  }

  /// What `volume.write` answers.
  public struct Result: WireObject, Equatable {
    /// How many were written.
    public var writtenBytes: Int

    public enum CodingKeys: CodingKey, CaseIterable {
      case writtenBytes
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .writtenBytes: Field(\.writtenBytes, "How many were written.")
      }
    }

    public init(writtenBytes: Int) {
      self.writtenBytes = writtenBytes
    }
  }
}
