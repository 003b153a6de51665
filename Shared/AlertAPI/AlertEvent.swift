import RPC

/// One thing a follower is told.
public struct AlertEvent: WireObject, Equatable {
  /// An alert; left out when this is a gap.
  public var alert: AlertRecord?
  /// A gap: alerts up to this number are no longer held and were not sent.
  public var missedThroughSequence: Int64?

  public enum CodingKeys: CodingKey, CaseIterable {
    case alert, missedThroughSequence
  }

  public static func field(_ key: CodingKeys) -> Field<AlertEvent> {
    switch key {
    case .alert: Field(\.alert, "An alert; left out when this is a gap.")
    case .missedThroughSequence:
      Field(
        \.missedThroughSequence,
        "A gap: alerts up to this number are no longer held and were not sent.")
    }
  }

  public init(alert: AlertRecord? = nil, missedThroughSequence: Int64? = nil) {
    self.alert = alert
    self.missedThroughSequence = missedThroughSequence
  }
}
