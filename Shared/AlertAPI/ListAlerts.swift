import RPC

/// Lists alerts, oldest first.
public enum ListAlerts: RPCMethod {
  public static let name = "alert.list"
  public static let summary = "Lists alerts, oldest first."
  public static let access = Access.viewer
  public static let effect = Effect.read

  /// What `alert.list` is told.
  public struct Params: WireObject, Equatable {
    /// Only alerts with a higher number.
    public var afterSequence: Int64?
    /// Take the newest that match instead of the oldest; still listed oldest first.
    public var newest: Bool?
    /// At most this many; 100 when left out.
    public var limit: Int?
    /// Only alerts that matter at least this much.
    public var minimumSeverity: Severity?
    /// Only alerts about this.
    public var subject: String?
    /// Only alerts of this kind.
    public var kind: String?
    /// Only alerts in this state.
    public var state: AlertState?

    public enum CodingKeys: CodingKey, CaseIterable {
      case afterSequence, newest, limit, minimumSeverity, subject, kind, state
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .afterSequence: Field(\.afterSequence, "Only alerts with a higher number.")
      case .newest: Field(\.newest, "Take the newest that match instead of the oldest; still listed oldest first.")
      case .limit: Field(\.limit, "At most this many; 100 when left out.", in: 1...1000)
      case .minimumSeverity: Field(\.minimumSeverity, "Only alerts that matter at least this much.")
      case .subject: Field(\.subject, "Only alerts about this.")
      case .kind: Field(\.kind, "Only alerts of this kind.")
      case .state: Field(\.state, "Only alerts in this state.")
      }
    }

    public init(
      afterSequence: Int64? = nil,
      newest: Bool? = nil,
      limit: Int? = nil,
      minimumSeverity: Severity? = nil,
      subject: String? = nil,
      kind: String? = nil,
      state: AlertState? = nil
    ) {
      self.afterSequence = afterSequence
      self.newest = newest
      self.limit = limit
      self.minimumSeverity = minimumSeverity
      self.subject = subject
      self.kind = kind
      self.state = state
    }
  }

  /// What `alert.list` answers.
  public struct Result: WireObject, Equatable {
    /// The alerts.
    public var alerts: [AlertRecord]
    /// Number of the oldest alert still held; 1 unless older ones were dropped.
    public var firstSequence: Int64
    /// Number of the newest alert; 0 when there is none.
    public var lastSequence: Int64

    public enum CodingKeys: CodingKey, CaseIterable {
      case alerts, firstSequence, lastSequence
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .alerts: Field(\.alerts, "The alerts.")
      case .firstSequence:
        Field(
          \.firstSequence,
          "Number of the oldest alert still held; 1 unless older ones were dropped.")
      case .lastSequence: Field(\.lastSequence, "Number of the newest alert; 0 when there is none.")
      }
    }

    public init(alerts: [AlertRecord], firstSequence: Int64, lastSequence: Int64) {
      self.alerts = alerts
      self.firstSequence = firstSequence
      self.lastSequence = lastSequence
    }
  }
}
