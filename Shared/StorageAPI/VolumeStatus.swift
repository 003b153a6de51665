import Primitives
import RPC

/// One volume.
public struct VolumeStatus: WireObject, Equatable {
  /// Its name.
  public var volume: VolumeName
  /// Its size as a virtual machine sees it.
  public var sizeBytes: Int64
  /// The library image that it is based on.
  public var image: ImageName?
  /// Its chain, topmost first.
  public var layers: [LayerStatus]
  /// Its snapshots, the oldest first.
  public var snapshots: [SnapshotStatus]
  /// Its checkpoints, the oldest first.
  public var checkpoints: [CheckpointStatus]
  /// Whether what is written can be discarded.
  public var hasUndoLayer: Bool
  /// Grows with every fence; an export is valid for one generation.
  public var generation: Int64
  /// Times that it was opened for writing: while this and the topmost layer are the same, nobody wrote.
  public var openings: Int64?
  /// NBD clients connected now.
  public var sessions: Int
  /// Legs that hold all that was acknowledged.
  public var legs: [LegID]

  public enum CodingKeys: CodingKey, CaseIterable {
    case volume, sizeBytes, image, layers, snapshots, checkpoints, hasUndoLayer, generation, openings, sessions, legs
  }

  public static func field(_ key: CodingKeys) -> Field<VolumeStatus> {
    switch key {
    case .volume: Field(\.volume, "Its name.")
    case .sizeBytes: Field(\.sizeBytes, "Its size as a virtual machine sees it.")
    case .image: Field(\.image, "The library image that it is based on.")
    case .layers: Field(\.layers, "Its chain, topmost first.")
    case .snapshots: Field(\.snapshots, "Its snapshots, the oldest first.")
    case .checkpoints: Field(\.checkpoints, "Its checkpoints, the oldest first.")
    case .hasUndoLayer: Field(\.hasUndoLayer, "Whether what is written can be discarded.")
    case .generation: Field(\.generation, "Grows with every fence; an export is valid for one generation.")
    case .openings:
      Field(
        \.openings,
        "Times that it was opened for writing: while this and the topmost layer are the same, nobody wrote.")
    case .sessions: Field(\.sessions, "NBD clients connected now.")
    case .legs: Field(\.legs, "Legs that hold all that was acknowledged.")
    }
  }

  public init(
    volume: VolumeName,
    sizeBytes: Int64,
    image: ImageName? = nil,
    layers: [LayerStatus],
    snapshots: [SnapshotStatus] = [],
    checkpoints: [CheckpointStatus] = [],
    hasUndoLayer: Bool,
    generation: Int64,
    openings: Int64? = nil,
    sessions: Int,
    legs: [LegID]
  ) {
    self.volume = volume
    self.sizeBytes = sizeBytes
    self.image = image
    self.layers = layers
    self.snapshots = snapshots
    self.checkpoints = checkpoints
    self.hasUndoLayer = hasUndoLayer
    self.generation = generation
    self.openings = openings
    self.sessions = sessions
    self.legs = legs
  }
}
