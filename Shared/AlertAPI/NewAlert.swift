import Primitives
import RPC

/// An alert as a service publishes it.
public struct NewAlert: WireObject, Equatable {
  /// Drawn by the publisher; a repeat with the same key is not recorded again.
  public var key: RequestKey
  /// When it happened, in milliseconds since 1970.
  public var timeMilliseconds: Int64
  /// How much it matters.
  public var severity: Severity
  /// The service that noticed.
  public var source: ServiceName
  /// Stable word for what happened: camelCase, such as moduleFailed.
  public var kind: String
  /// What it happened to: a module, volume, leg or virtual machine by name.
  public var subject: String
  /// A sentence for people, with what to do.
  public var message: String
  /// The facts.
  public var data: [String: JSONValue]

  public enum CodingKeys: CodingKey, CaseIterable {
    case key, timeMilliseconds, severity, source, kind, subject, message, data
  }

  public static func field(_ key: CodingKeys) -> Field<NewAlert> {
    switch key {
    case .key: Field(\.key, "Drawn by the publisher; a repeat with the same key is not recorded again.")
    case .timeMilliseconds: Field(\.timeMilliseconds, "When it happened, in milliseconds since 1970.")
    case .severity: Field(\.severity, "How much it matters.")
    case .source: Field(\.source, "The service that noticed.")
    case .kind: Field(\.kind, "Stable word for what happened: camelCase, such as moduleFailed.")
    case .subject: Field(\.subject, "What it happened to: a module, volume, leg or virtual machine by name.")
    case .message: Field(\.message, "A sentence for people, with what to do.")
    case .data: Field(\.data, "The facts.")
    }
  }

  public init(
    key: RequestKey,
    timeMilliseconds: Int64,
    severity: Severity,
    source: ServiceName,
    kind: String,
    subject: String,
    message: String,
    data: [String: JSONValue]
  ) {
    self.key = key
    self.timeMilliseconds = timeMilliseconds
    self.severity = severity
    self.source = source
    self.kind = kind
    self.subject = subject
    self.message = message
    self.data = data
  }
}
