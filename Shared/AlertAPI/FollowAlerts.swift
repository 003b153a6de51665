import RPC

/// Sends the alerts after a number, and then each new one; a gap is sent as an event of its own.
public enum FollowAlerts: RPCSubscription {
  public static let name = "alert.follow"
  public static let summary =
    "Sends the alerts after a number, and then each new one; a gap is sent as an event of its own."
  public static let access = Access.viewer
  public static let effect = Effect.read

  /// What `alert.follow` is told.
  public struct Params: WireObject, Equatable {
    /// Start after this number; with the next new alert when left out.
    public var afterSequence: Int64?

    public enum CodingKeys: CodingKey, CaseIterable {
      case afterSequence
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .afterSequence: Field(\.afterSequence, "Start after this number; with the next new alert when left out.")
      }
    }

    public init(afterSequence: Int64? = nil) {
      self.afterSequence = afterSequence
    }
  }

  public typealias Event = AlertEvent
}
