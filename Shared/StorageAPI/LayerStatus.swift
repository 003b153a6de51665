import Primitives
import RPC

/// One layer of a volume.
public struct LayerStatus: WireObject, Equatable {
  /// Identifier of the layer: the unique identifier in its VHD footer.
  public var layer: String
  /// What it is for.
  public var role: LayerRole
  /// The library image, where the layer belongs to one.
  public var image: ImageName?
  /// Space that its file takes on a leg.
  public var allocatedBytes: Int64

  public enum CodingKeys: CodingKey, CaseIterable {
    case layer, role, image, allocatedBytes
  }

  public static func field(_ key: CodingKeys) -> Field<LayerStatus> {
    switch key {
    case .layer: Field(\.layer, "Identifier of the layer: the unique identifier in its VHD footer.")
    case .role: Field(\.role, "What it is for.")
    case .image: Field(\.image, "The library image, where the layer belongs to one.")
    case .allocatedBytes: Field(\.allocatedBytes, "Space that its file takes on a leg.")
    }
  }

  public init(layer: String, role: LayerRole, image: ImageName? = nil, allocatedBytes: Int64) {
    self.layer = layer
    self.role = role
    self.image = image
    self.allocatedBytes = allocatedBytes
  }
}
