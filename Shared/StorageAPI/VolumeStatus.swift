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
  /// When writes to it are durable.
  public var cache: CachePolicy
  /// What happens to writes while only one leg is in step.
  public var onOneLeg: OneLegPolicy
  /// Clients whose writes wait until both legs are in step.
  public var waitingSessions: Int
  /// What its last scrub found.
  public var lastScrub: ScrubStatus?

  public enum CodingKeys: CodingKey, CaseIterable {
    case volume, sizeBytes, image, layers, snapshots, checkpoints, hasUndoLayer, generation, openings, sessions, legs,
      cache, onOneLeg, waitingSessions, lastScrub
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
    case .cache: Field(\.cache, "When writes to it are durable.")
    case .onOneLeg: Field(\.onOneLeg, "What happens to writes while only one leg is in step.")
    case .waitingSessions: Field(\.waitingSessions, "Clients whose writes wait until both legs are in step.")
    case .lastScrub: Field(\.lastScrub, "What its last scrub found.")
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
    legs: [LegID],
    cache: CachePolicy = .writeBack,
    onOneLeg: OneLegPolicy = .continue,
    waitingSessions: Int = 0,
    lastScrub: ScrubStatus? = nil
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
    self.cache = cache
    self.onOneLeg = onOneLeg
    self.waitingSessions = waitingSessions
    self.lastScrub = lastScrub
  }
}
