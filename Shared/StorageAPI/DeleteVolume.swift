import Primitives
import RPC

/// Deletes a volume and all that only it holds.
public enum DeleteVolume: RPCMethod {
  public static let name = "volume.delete"
  public static let summary = "Deletes a volume and all that only it holds."
  public static let access = Access.admin
  public static let effect = Effect.idempotent
  public static let failures: [StorageFailure] = [.volumeInUse, .legUnavailable]

  /// What `volume.delete` is told.
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

  /// What `volume.delete` answers.
  public struct Result: WireObject, Equatable {
    /// Whether there was one.
    public var deleted: Bool

    public enum CodingKeys: CodingKey, CaseIterable {
      case deleted
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .deleted: Field(\.deleted, "Whether there was one.")
      }
    }

    public init(deleted: Bool) {
      self.deleted = deleted
    }
  }
}
