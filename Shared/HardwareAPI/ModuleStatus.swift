import Primitives
import RPC

/// One module.
public struct ModuleStatus: WireObject, Equatable {
  /// The module.
  public var module: ModuleID
  /// What it holds.
  public var kind: ModuleID.Kind
  /// Its state.
  public var state: ModuleState
  /// Why it is in this state, in a sentence.
  public var reason: String?
  /// When it came into this state, in milliseconds since 1970.
  public var sinceMilliseconds: Int64
  /// Failures counted since the host was set up.
  public var failures: Int
  /// Time since the agent of a CPU module was last heard.
  public var heartbeatAgeMilliseconds: Int?
  /// What an operator can do now, as a command with a sentence.
  public var nextStep: String?

  public enum CodingKeys: CodingKey, CaseIterable {
    case module, kind, state, reason, sinceMilliseconds, failures, heartbeatAgeMilliseconds, nextStep
  }

  public static func field(_ key: CodingKeys) -> Field<ModuleStatus> {
    switch key {
    case .module: Field(\.module, "The module.")
    case .kind: Field(\.kind, "What it holds.")
    case .state: Field(\.state, "Its state.")
    case .reason: Field(\.reason, "Why it is in this state, in a sentence.")
    case .sinceMilliseconds: Field(\.sinceMilliseconds, "When it came into this state, in milliseconds since 1970.")
    case .failures: Field(\.failures, "Failures counted since the host was set up.")
    case .heartbeatAgeMilliseconds:
      Field(
        \.heartbeatAgeMilliseconds,
        "Time since the agent of a CPU module was last heard.")
    case .nextStep: Field(\.nextStep, "What an operator can do now, as a command with a sentence.")
    }
  }

  public init(
    module: ModuleID,
    kind: ModuleID.Kind,
    state: ModuleState,
    reason: String? = nil,
    sinceMilliseconds: Int64,
    failures: Int,
    heartbeatAgeMilliseconds: Int? = nil,
    nextStep: String? = nil
  ) {
    self.module = module
    self.kind = kind
    self.state = state
    self.reason = reason
    self.sinceMilliseconds = sinceMilliseconds
    self.failures = failures
    self.heartbeatAgeMilliseconds = heartbeatAgeMilliseconds
    self.nextStep = nextStep
  }
}
