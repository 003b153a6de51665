import Primitives
import RPC

/// Compares a volume's layers on both legs with each other and with their checksums, and repairs what is wrong on one,
/// while clients read and write. Begins a job, or answers the one that does so already; volume.show tells what it found.
public enum ScrubVolume: RPCMethod {
  public static let name = "volume.scrub"
  public static let summary = "Compares a volume's layers on both legs, and repairs what is wrong on one."
  public static let access = Access.operator
  public static let effect = Effect.keyed
  public static let failures: [StorageFailure] = [.noSuchVolume, .legUnavailable]

  /// What `volume.scrub` is told.
  public struct Params: KeyedParams, Equatable {
    /// The volume; its image is not looked at.
    public var volume: VolumeName
    /// Key that a repeat must carry.
    public var requestKey: RequestKey?

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, requestKey
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume; its image is not looked at.")
      case .requestKey: Field(\.requestKey, "Key that a repeat must carry.")
      }
    }

    public init(volume: VolumeName, requestKey: RequestKey? = nil) {
      self.volume = volume
      self.requestKey = requestKey
    }
  }

  public typealias Result = JobStatus
}
