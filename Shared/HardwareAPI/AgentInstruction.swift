import RPC

/// What the supervisor asks of an agent.
public struct AgentInstruction: WireObject, Equatable {
  /// How often to send `hardware.heartbeat`.
  public var heartbeatIntervalMilliseconds: Int

  public enum CodingKeys: CodingKey, CaseIterable {
    case heartbeatIntervalMilliseconds
  }

  public static func field(_ key: CodingKeys) -> Field<AgentInstruction> {
    switch key {
    case .heartbeatIntervalMilliseconds:
      Field(
        \.heartbeatIntervalMilliseconds,
        "How often to send `hardware.heartbeat`.")
    }
  }

  public init(heartbeatIntervalMilliseconds: Int) {
    self.heartbeatIntervalMilliseconds = heartbeatIntervalMilliseconds
  }
}
