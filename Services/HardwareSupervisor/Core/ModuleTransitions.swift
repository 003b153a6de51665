import HardwareAPI
import Primitives

/// What an operator or an integrator asks of a module. The raw value is the word that `ftctl module` takes.
public enum ModuleCommand: String, Sendable, Hashable, CaseIterable {
  case offline, online, fail, remove, insert
}

/// What happens to a module, on command or by itself.
public enum ModuleTrigger: Sendable, Hashable {
  case command(ModuleCommand)
  /// It failed, and its partner carries on.
  case failed
  /// Everything on a module that failed by itself was stopped.
  case isolated
  /// It starts again by itself.
  case returning
  /// Its units run.
  case unitsRunning
  /// The tests before service passed.
  case tested
  /// It catches up with its partner.
  case joining
  /// It caught up.
  case inStep
  /// A leg on it fell behind by itself.
  case outOfStep
  /// It could not be brought back in time.
  case gaveUp
}

/// What a command does to a module in a given state.
public enum CommandVerdict: Sendable, Equatable {
  /// It is carried out and leaves the module in this state.
  case enters(ModuleState)
  /// An earlier one did it: answered alike, nothing done.
  case alreadyDone
  /// The state does not allow it.
  case refused
}

/// The one table of a module's states: what leads from where to where. What is not in it does not happen.
public enum ModuleTransitions {
  private static let table: [ModuleState: [ModuleTrigger: ModuleState]] = {
    let starting: [ModuleTrigger: ModuleState] = [
      .command(.offline): .offline, .command(.fail): .broken, .failed: .broken, .returning: .initializing,
      .gaveUp: .broken, .joining: .syncing,
    ]
    return [
      .online: [
        .command(.offline): .offline, .command(.fail): .broken, .failed: .broken, .returning: .initializing,
        .outOfStep: .syncing,
      ],
      .initializing: starting.merging([.unitsRunning: .diagnostics]) { $1 },
      .diagnostics: starting.merging([.tested: .diagnosticsPassed]) { $1 },
      .diagnosticsPassed: starting,
      .syncing: starting.merging([.inStep: .online]) { $1 },
      .firmwareUpdate: [.command(.fail): .broken, .failed: .broken, .returning: .initializing],
      .dumping: [.command(.fail): .broken, .failed: .broken, .returning: .initializing],
      .unknown: [.command(.fail): .broken, .failed: .broken, .returning: .initializing],
      .broken: [
        .command(.online): .initializing, .command(.remove): .removed, .isolated: .shot, .returning: .initializing,
        .joining: .syncing,
      ],
      .shot: [
        .command(.online): .initializing, .command(.remove): .removed, .command(.fail): .broken,
        .returning: .initializing,
      ],
      .offline: [
        .command(.online): .initializing, .command(.remove): .removed, .command(.fail): .broken,
        .returning: .initializing,
      ],
      .removed: [.command(.insert): .offline, .returning: .initializing],
      .empty: [.command(.insert): .offline],
    ]
  }()

  /// States in which a command finds its work done.
  private static let settled: [ModuleCommand: Set<ModuleState>] = [
    .offline: [.offline],
    .online: [.initializing, .diagnostics, .diagnosticsPassed, .syncing, .online],
    .fail: [.broken],
    .remove: [.removed],
    .insert: [.offline],
  ]

  /// Where a trigger leads, or nil when it does not happen in this state.
  public static func next(_ state: ModuleState, _ trigger: ModuleTrigger) -> ModuleState? { table[state]?[trigger] }

  /// What a command does in this state.
  public static func verdict(_ state: ModuleState, _ command: ModuleCommand) -> CommandVerdict {
    if settled[command]?.contains(state) == true { return .alreadyDone }
    return next(state, .command(command)).map(CommandVerdict.enters) ?? .refused
  }

  /// Commands that change a module in this state, in the order of their declaration.
  public static func allowed(_ state: ModuleState) -> [ModuleCommand] {
    ModuleCommand.allCases.filter { next(state, .command($0)) != nil }
  }

  /// Whether a module in this state is in service or on its way there, so that its loss is a failure.
  public static func isUp(_ state: ModuleState) -> Bool { table[state]?[.command(.offline)] != nil }
}
