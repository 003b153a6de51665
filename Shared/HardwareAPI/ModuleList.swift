import RPC

/// All modules.
public struct ModuleList: WireObject, Equatable {
  /// In a fixed order.
  public var modules: [ModuleStatus]
  /// Processors first.
  public var pairs: [PairStatus]

  public enum CodingKeys: CodingKey, CaseIterable {
    case modules, pairs
  }

  public static func field(_ key: CodingKeys) -> Field<ModuleList> {
    switch key {
    case .modules: Field(\.modules, "In a fixed order.")
    case .pairs: Field(\.pairs, "Processors first.")
    }
  }

  public init(modules: [ModuleStatus], pairs: [PairStatus]) {
    self.modules = modules
    self.pairs = pairs
  }
}
