import RPC

/// Measured values of this instance.
public enum GetServiceMetrics: RPCMethod {
  public static let name = "service.metrics"
  public static let summary = "Measured values of this instance."
  public static let access = Access.viewer
  public static let effect = Effect.read

  public typealias Params = Nothing

  /// What `service.metrics` answers.
  public struct Result: WireObject, Equatable {
    /// The values.
    public var metrics: [Metric]

    public enum CodingKeys: CodingKey, CaseIterable {
      case metrics
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .metrics: Field(\.metrics, "The values.")
      }
    }

    public init(metrics: [Metric]) {
      self.metrics = metrics
    }
  }
}
