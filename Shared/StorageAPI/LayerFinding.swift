import Primitives
import RPC

/// Something that a check of a layer found.
public struct LayerFinding: WireObject, Equatable {
  /// Identifier of the layer.
  public var layer: String
  /// The leg whose file was looked at.
  public var leg: LegID
  /// What it is: unreadable, footerDamaged, footerShort, copyDamaged, entryOutside, entryOverlaps, bitmapIncomplete,
  /// trailingGarbage or spaceLeaked.
  public var kind: String
  /// Where in the file.
  public var offsetBytes: Int64
  /// What it is, in a sentence.
  public var message: String

  public enum CodingKeys: CodingKey, CaseIterable {
    case layer, leg, kind, offsetBytes, message
  }

  public static func field(_ key: CodingKeys) -> Field<LayerFinding> {
    switch key {
    case .layer: Field(\.layer, "Identifier of the layer.")
    case .leg: Field(\.leg, "The leg whose file was looked at.")
    case .kind:
      Field(
        \.kind,
        "What it is: unreadable, footerDamaged, footerShort, copyDamaged, entryOutside, entryOverlaps, bitmapIncomplete, trailingGarbage or spaceLeaked."
      )
    case .offsetBytes: Field(\.offsetBytes, "Where in the file.")
    case .message: Field(\.message, "What it is, in a sentence.")
    }
  }

  public init(layer: String, leg: LegID, kind: String, offsetBytes: Int64, message: String) {
    self.layer = layer
    self.leg = leg
    self.kind = kind
    self.offsetBytes = offsetBytes
    self.message = message
  }
}
