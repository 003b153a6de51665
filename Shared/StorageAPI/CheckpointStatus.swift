import Primitives
import RPC

/// One checkpoint of a volume: a moment from which on it is kept which blocks change.
public struct CheckpointStatus: WireObject, Equatable {
  /// Its name.
  public var checkpoint: CheckpointName
  /// The snapshot that was taken at the same moment; left out when that was deleted.
  public var snapshot: SnapshotName?
  /// Size of the volume at that moment.
  public var sizeBytes: Int64
  /// When it was made, in milliseconds since 1970.
  public var createdMilliseconds: Int64

  public enum CodingKeys: CodingKey, CaseIterable {
    case checkpoint, snapshot, sizeBytes, createdMilliseconds
  }

  public static func field(_ key: CodingKeys) -> Field<CheckpointStatus> {
    switch key {
    case .checkpoint: Field(\.checkpoint, "Its name.")
    case .snapshot: Field(\.snapshot, "The snapshot that was taken at the same moment; left out when that was deleted.")
    case .sizeBytes: Field(\.sizeBytes, "Size of the volume at that moment.")
    case .createdMilliseconds: Field(\.createdMilliseconds, "When it was made, in milliseconds since 1970.")
    }
  }

  public init(checkpoint: CheckpointName, snapshot: SnapshotName? = nil, sizeBytes: Int64, createdMilliseconds: Int64) {
    self.checkpoint = checkpoint
    self.snapshot = snapshot
    self.sizeBytes = sizeBytes
    self.createdMilliseconds = createdMilliseconds
  }
}
