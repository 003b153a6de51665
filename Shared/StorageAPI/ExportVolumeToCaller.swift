import Primitives
import RPC

/// Makes a volume that nobody uses, or a snapshot, reachable over NBD for the caller: to fill it, or to read it out. A
/// snapshot can only be read, also while the volume is used, for a day.
public enum ExportVolumeToCaller: RPCMethod {
  public static let name = "volume.exportToCaller"
  public static let summary = "Makes a volume that nobody uses, or a snapshot, reachable over NBD for the caller."
  public static let access = Access.admin
  public static let effect = Effect.idempotent
  public static let failures: [StorageFailure] = [.noSuchVolume, .noSuchSnapshot, .volumeInUse, .legUnavailable]

  /// What `volume.exportToCaller` is told.
  public struct Params: WireObject, Equatable {
    /// The volume; without a snapshot, no client may be connected.
    public var volume: VolumeName
    /// The snapshot to read; the present content, to read and write, when left out.
    public var snapshot: SnapshotName?

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume, snapshot
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume; without a snapshot, no client may be connected.")
      case .snapshot: Field(\.snapshot, "The snapshot to read; the present content, to read and write, when left out.")
      }
    }

    public init(volume: VolumeName, snapshot: SnapshotName? = nil) {
      self.volume = volume
      self.snapshot = snapshot
    }
  }

  public typealias Result = CallerExport
}
