import RPC

/// Tells how the two legs stand.
public enum GetLegs: RPCMethod {
  public static let name = "volume.legs"
  public static let summary = "Tells how the two legs stand."
  public static let access = Access.viewer
  public static let effect = Effect.read

  public typealias Params = Nothing

  /// What `volume.legs` answers.
  public struct Result: WireObject, Equatable {
    /// Both legs.
    public var legs: [StorageLeg]

    public enum CodingKeys: CodingKey, CaseIterable {
      case legs
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .legs: Field(\.legs, "Both legs.")
      }
    }

    public init(legs: [StorageLeg]) {
      self.legs = legs
    }
  }
}
