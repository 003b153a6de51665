import Primitives
import RPC

/// One snapshot of a volume.
public struct SnapshotStatus: WireObject, Equatable {
  /// Its name.
  public var snapshot: SnapshotName
  /// The nearest snapshot below it; left out for one that is based on none.
  public var parent: SnapshotName?
  /// Identifier of the layer that holds what changed since its parent.
  public var layer: String
  /// Size of the volume at that time.
  public var sizeBytes: Int64
  /// Space that its layer takes on a leg.
  public var allocatedBytes: Int64
  /// Whether the volume's present content was made from it.
  public var isCurrent: Bool
  /// What it is, in its owner's words.
  public var description: String
  /// When it was taken, in milliseconds since 1970.
  public var createdMilliseconds: Int64

  public enum CodingKeys: CodingKey, CaseIterable {
    case snapshot, parent, layer, sizeBytes, allocatedBytes, isCurrent, description, createdMilliseconds
  }

  public static func field(_ key: CodingKeys) -> Field<SnapshotStatus> {
    switch key {
    case .snapshot: Field(\.snapshot, "Its name.")
    case .parent: Field(\.parent, "The nearest snapshot below it; left out for one that is based on none.")
    case .layer: Field(\.layer, "Identifier of the layer that holds what changed since its parent.")
    case .sizeBytes: Field(\.sizeBytes, "Size of the volume at that time.")
    case .allocatedBytes: Field(\.allocatedBytes, "Space that its layer takes on a leg.")
    case .isCurrent: Field(\.isCurrent, "Whether the volume's present content was made from it.")
    case .description: Field(\.description, "What it is, in its owner's words.")
    case .createdMilliseconds: Field(\.createdMilliseconds, "When it was taken, in milliseconds since 1970.")
    }
  }

  public init(
    snapshot: SnapshotName,
    parent: SnapshotName? = nil,
    layer: String,
    sizeBytes: Int64,
    allocatedBytes: Int64,
    isCurrent: Bool,
    description: String,
    createdMilliseconds: Int64
  ) {
    self.snapshot = snapshot
    self.parent = parent
    self.layer = layer
    self.sizeBytes = sizeBytes
    self.allocatedBytes = allocatedBytes
    self.isCurrent = isCurrent
    self.description = description
    self.createdMilliseconds = createdMilliseconds
  }
}
