import Primitives
import RPC

/// Makes a volume reachable over NBD for one user, for as long as its generation lasts.
public enum ExportVolume: RPCMethod {
  public static let name = "volume.export"
  public static let summary = "Makes a volume reachable over NBD for one user, for as long as its generation lasts."
  public static let access = Access.service
  public static let effect = Effect.idempotent
  public static let failures: [StorageFailure] = [.noSuchVolume, .staleGeneration, .volumeInUse]

  /// What `volume.export` is told.
  public struct Params: WireObject, Equatable {
    /// The volume.
    public var volume: VolumeName
    /// The generation that the caller knows; refused when it is no longer the current one.
    public var generation: Int64?
    /// Unix user that may connect.
    public var clientUserID: Int

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, generation, clientUserID
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume.")
      case .generation:
        Field(
          \.generation,
          "The generation that the caller knows; refused when it is no longer the current one.")
      case .clientUserID: Field(\.clientUserID, "Unix user that may connect.", in: 0...4294967294)
      }
    }

    public init(volume: VolumeName, generation: Int64? = nil, clientUserID: Int) {
      self.volume = volume
      self.generation = generation
      self.clientUserID = clientUserID
    }
  }

  public typealias Result = ExportStatus
}
