import RPC

/// Tells for every service which module's instance is active and which is standby.
public enum GetServices: RPCMethod {
  public static let name = "hardware.services"
  public static let summary = "Tells for every service which module's instance is active and which is standby."
  public static let access = Access.viewer
  public static let effect = Effect.read

  public typealias Params = Nothing

  /// What `hardware.services` answers.
  public struct Result: WireObject, Equatable {
    /// In a fixed order.
    public var services: [ServicePlacement]

    public enum CodingKeys: CodingKey, CaseIterable {
      case services
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .services: Field(\.services, "In a fixed order.")
      }
    }

    public init(services: [ServicePlacement]) {
      self.services = services
    }
  }
}
