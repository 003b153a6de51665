import HardwareAPI
import Primitives

/// A step that was decided and is not finished. It is stored with the state, so that whoever is active finishes it.
public enum ModuleTask: String, Sendable, Equatable {
  case none
  /// Keep everything on the module from running: mark it and kill what runs there.
  case isolate
  /// Stop what runs there in good order, then keep it from running.
  case stop
  /// Bring it into service.
  case start
}

/// What is stored of a module.
public struct ModuleRecord: Sendable, Equatable {
  public let module: ModuleID
  public var state: ModuleState
  /// Why it is in this state, in a sentence.
  public var reason: String?
  /// When it came into this state, in milliseconds since 1970.
  public var sinceMilliseconds: Int64
  /// Failures counted since the host was set up.
  public var failures: Int
  /// The agent that beat when the module came online; nil when the next may be another without a failure.
  public var incarnation: GenerationID?
  /// That agent's process.
  public var agentProcess: Int32?
  public var task: ModuleTask
  /// After isolation: stay out of service until an operator brings it back.
  public var stays: Bool
  /// Carry it out even where this is the last module of its pair.
  public var isForced: Bool
  /// When it last left service, in milliseconds since 1970; nil while online.
  public var outSinceMilliseconds: Int64?

  public init(module: ModuleID, state: ModuleState, sinceMilliseconds: Int64, task: ModuleTask = .none) {
    self.module = module
    self.state = state
    self.sinceMilliseconds = sinceMilliseconds
    self.task = task
    failures = 0
    stays = false
    isForced = false
    outSinceMilliseconds = state == .online ? nil : sinceMilliseconds
  }

  /// Follows the table of transitions.
  ///
  /// - Returns: false when the trigger does not happen in this state; nothing changed then.
  mutating func follow(_ trigger: ModuleTrigger, reason: String?, at milliseconds: Int64) -> Bool {
    guard let next = ModuleTransitions.next(state, trigger) else { return false }
    if state == .online, next != .online { outSinceMilliseconds = milliseconds }
    if next == .online { outSinceMilliseconds = nil }
    state = next
    sinceMilliseconds = milliseconds
    self.reason = reason
    return true
  }
}

/// How a pair stands, by the states of its two modules.
func pairState(_ kind: ModuleID.Kind, _ records: [ModuleID: ModuleRecord]) -> PairState {
  switch ModuleID.all(of: kind).count(where: { records[$0]?.state == .online }) {
  case 2: .duplex
  case 1: .simplex
  default: .down
  }
}
