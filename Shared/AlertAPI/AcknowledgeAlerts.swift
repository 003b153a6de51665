import RPC

/// Marks alerts as seen.
public enum AcknowledgeAlerts: RPCMethod {
  public static let name = "alert.acknowledge"
  public static let summary = "Marks alerts as seen."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [AlertFailure] = [.noSuchAlert]

  /// What `alert.acknowledge` is told.
  public struct Params: WireObject, Equatable {
    /// Their numbers.
    public var sequences: [Int64]?
    /// Every open alert up to this number.
    public var throughSequence: Int64?
    /// A word for the records, at most 1,000 characters.
    public var note: String?

    public enum CodingKeys: CodingKey, CaseIterable {
      case sequences, throughSequence, note
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .sequences: Field(\.sequences, "Their numbers.")
      case .throughSequence: Field(\.throughSequence, "Every open alert up to this number.")
      case .note: Field(\.note, "A word for the records, at most 1,000 characters.")
      }
    }

    public init(sequences: [Int64]? = nil, throughSequence: Int64? = nil, note: String? = nil) {
      self.sequences = sequences
      self.throughSequence = throughSequence
      self.note = note
    }
  }

  /// What `alert.acknowledge` answers.
  public struct Result: WireObject, Equatable {
    /// How many were open.
    public var acknowledged: Int

    public enum CodingKeys: CodingKey, CaseIterable {
      case acknowledged
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .acknowledged: Field(\.acknowledged, "How many were open.")
      }
    }

    public init(acknowledged: Int) {
      self.acknowledged = acknowledged
    }
  }
}
