import RPC

/// Records alerts; an alert whose key is known is not recorded again.
public enum AppendAlerts: RPCMethod {
  public static let name = "alert.append"
  public static let summary = "Records alerts; an alert whose key is known is not recorded again."
  public static let access = Access.service
  public static let effect = Effect.idempotent
  public static let failures: [AlertFailure] = [.alertTooLarge]

  /// What `alert.append` is told.
  public struct Params: WireObject, Equatable {
    /// At most 100, in the order in which they happened.
    public var alerts: [NewAlert]

    public enum CodingKeys: CodingKey, CaseIterable {
      case alerts
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .alerts: Field(\.alerts, "At most 100, in the order in which they happened.")
      }
    }

    public init(alerts: [NewAlert]) {
      self.alerts = alerts
    }
  }

  /// What `alert.append` answers.
  public struct Result: WireObject, Equatable {
    /// The number of each, in the same order.
    public var sequences: [Int64]

    public enum CodingKeys: CodingKey, CaseIterable {
      case sequences
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .sequences: Field(\.sequences, "The number of each, in the same order.")
      }
    }

    public init(sequences: [Int64]) {
      self.sequences = sequences
    }
  }
}
