import Primitives
import RPC

/// A volume as it was when a virtual machine was saved.
public struct SavedVolume: WireObject, Equatable {
  /// The volume.
  public var volume: VolumeName
  /// Its generation then.
  public var generation: Int64
  /// Its topmost layer then.
  public var layer: String
  /// Times that it had been opened for writing.
  public var openings: Int64

  public enum CodingKeys: CodingKey, CaseIterable {
    case volume, generation, layer, openings
  }

  public static func field(_ key: CodingKeys) -> Field<SavedVolume> {
    switch key {
    case .volume: Field(\.volume, "The volume.")
    case .generation: Field(\.generation, "Its generation then.")
    case .layer: Field(\.layer, "Its topmost layer then.")
    case .openings: Field(\.openings, "Times that it had been opened for writing.")
    }
  }

  public init(volume: VolumeName, generation: Int64, layer: String, openings: Int64) {
    self.volume = volume
    self.generation = generation
    self.layer = layer
    self.openings = openings
  }
}
