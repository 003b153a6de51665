import Primitives
import RPC

/// The two modules of one kind.
public struct PairStatus: WireObject, Equatable {
  /// The kind.
  public var kind: ModuleID.Kind
  /// How the pair stands.
  public var state: PairState

  public enum CodingKeys: CodingKey, CaseIterable {
    case kind, state
  }

  public static func field(_ key: CodingKeys) -> Field<PairStatus> {
    switch key {
    case .kind: Field(\.kind, "The kind.")
    case .state: Field(\.state, "How the pair stands.")
    }
  }

  public init(kind: ModuleID.Kind, state: PairState) {
    self.kind = kind
    self.state = state
  }
}
