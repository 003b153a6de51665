import Primitives
import RPC

/// A path to a leg, as far as its loss is injected; `volume.legs` tells how it stands to the data.
public struct PathStatus: WireObject, Equatable {
  /// The leg.
  public var leg: LegID
  /// Number of the path.
  public var path: Int
  /// Whether its loss is injected.
  public var isCut: Bool

  public enum CodingKeys: CodingKey, CaseIterable {
    case leg, path, isCut
  }

  public static func field(_ key: CodingKeys) -> Field<PathStatus> {
    switch key {
    case .leg: Field(\.leg, "The leg.")
    case .path: Field(\.path, "Number of the path.")
    case .isCut: Field(\.isCut, "Whether its loss is injected.")
    }
  }

  public init(leg: LegID, path: Int, isCut: Bool) {
    self.leg = leg
    self.path = path
    self.isCut = isCut
  }
}
