import Primitives
import RPC

/// An alert in the log.
public struct AlertRecord: WireObject, Equatable {
  /// Its number: grows by one with each alert.
  public var sequence: Int64
  /// When it happened, in milliseconds since 1970.
  public var timeMilliseconds: Int64
  /// How much it matters.
  public var severity: Severity
  /// The service that noticed.
  public var source: ServiceName
  /// Stable word for what happened.
  public var kind: String
  /// What it happened to.
  public var subject: String
  /// A sentence for people.
  public var message: String
  /// The facts.
  public var data: [String: JSONValue]
  /// Whether somebody has to look at it.
  public var state: AlertState
  /// Who acknowledged it.
  public var acknowledgedBy: String?
  /// When, in milliseconds since 1970.
  public var acknowledgedMilliseconds: Int64?
  /// What they said.
  public var note: String?

  public enum CodingKeys: CodingKey, CaseIterable {
    case sequence, timeMilliseconds, severity, source, kind, subject, message, data, state, acknowledgedBy,
      acknowledgedMilliseconds, note
  }

  public static func field(_ key: CodingKeys) -> Field<AlertRecord> {
    switch key {
    case .sequence: Field(\.sequence, "Its number: grows by one with each alert.")
    case .timeMilliseconds: Field(\.timeMilliseconds, "When it happened, in milliseconds since 1970.")
    case .severity: Field(\.severity, "How much it matters.")
    case .source: Field(\.source, "The service that noticed.")
    case .kind: Field(\.kind, "Stable word for what happened.")
    case .subject: Field(\.subject, "What it happened to.")
    case .message: Field(\.message, "A sentence for people.")
    case .data: Field(\.data, "The facts.")
    case .state: Field(\.state, "Whether somebody has to look at it.")
    case .acknowledgedBy: Field(\.acknowledgedBy, "Who acknowledged it.")
    case .acknowledgedMilliseconds: Field(\.acknowledgedMilliseconds, "When, in milliseconds since 1970.")
    case .note: Field(\.note, "What they said.")
    }
  }

  public init(
    sequence: Int64,
    timeMilliseconds: Int64,
    severity: Severity,
    source: ServiceName,
    kind: String,
    subject: String,
    message: String,
    data: [String: JSONValue],
    state: AlertState,
    acknowledgedBy: String? = nil,
    acknowledgedMilliseconds: Int64? = nil,
    note: String? = nil
  ) {
    self.sequence = sequence
    self.timeMilliseconds = timeMilliseconds
    self.severity = severity
    self.source = source
    self.kind = kind
    self.subject = subject
    self.message = message
    self.data = data
    self.state = state
    self.acknowledgedBy = acknowledgedBy
    self.acknowledgedMilliseconds = acknowledgedMilliseconds
    self.note = note
  }
}
