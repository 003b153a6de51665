import RPC

/// One measured value.
public struct Metric: WireObject, Equatable {
  /// Name, camelCase with the unit last.
  public var name: String
  /// One sentence.
  public var summary: String
  /// The value.
  public var value: Double
  /// What it is about.
  public var labels: [String: String]

  public enum CodingKeys: CodingKey, CaseIterable {
    case name, summary, value, labels
  }

  public static func field(_ key: CodingKeys) -> Field<Metric> {
    switch key {
    case .name: Field(\.name, "Name, camelCase with the unit last.")
    case .summary: Field(\.summary, "One sentence.")
    case .value: Field(\.value, "The value.")
    case .labels: Field(\.labels, "What it is about.")
    }
  }

  public init(name: String, summary: String, value: Double, labels: [String: String]) {
    self.name = name
    self.summary = summary
    self.value = value
    self.labels = labels
  }
}
