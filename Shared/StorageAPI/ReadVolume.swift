import Primitives
import RPC

/// Reads bytes of a volume.
public enum ReadVolume: RPCMethod {
  public static let name = "volume.read"
  public static let summary = "Reads bytes of a volume."
  public static let access = Access.admin
  public static let effect = Effect.read
  public static let failures: [StorageFailure] = [.noSuchVolume, .outOfRange, .damagedLayer]

  /// What `volume.read` is told.
  public struct Params: WireObject, Equatable {
    /// The volume.
    public var volume: VolumeName
    /// Where to begin.
    public var offsetBytes: Int64
    /// How many.
    public var countBytes: Int

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, offsetBytes, countBytes
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume.")
      case .offsetBytes: Field(\.offsetBytes, "Where to begin.")
      case .countBytes: Field(\.countBytes, "How many.", in: 1...4194304)
      }
    }

    public init(volume: VolumeName, offsetBytes: Int64, countBytes: Int) {
      self.volume = volume
      self.offsetBytes = offsetBytes
      self.countBytes = countBytes
    }
  }

  /// What `volume.read` answers.
  public struct Result: WireObject, Equatable {
    /// The bytes in base64.
    public var data: String

    public enum CodingKeys: CodingKey, CaseIterable {
      case data
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .data: Field(\.data, "The bytes in base64.")
      }
    }

    public init(data: String) {
      self.data = data
    }
  }
}
