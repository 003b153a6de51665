import HardwareAPI
import HardwareSupervisorCore
import Testing

@Suite struct ModuleTransitionsTests {
  @Test func aModuleOnItsWayIntoServiceGoesThroughEveryTest() {
    var states: [ModuleState] = [.offline]
    for trigger in [.command(.online), .unitsRunning, .tested, .joining, .inStep] as [ModuleTrigger] {
      states.append(ModuleTransitions.next(states.last ?? .unknown, trigger) ?? .unknown)
    }
    #expect(states == [.offline, .initializing, .diagnostics, .diagnosticsPassed, .syncing, .online])
  }

  @Test(arguments: ModuleState.allCases, ModuleCommand.allCases)
  func everyCommandIsDoneOrRefusedInEveryState(_ state: ModuleState, _ command: ModuleCommand) {
    switch ModuleTransitions.verdict(state, command) {
    case .enters: #expect(ModuleTransitions.allowed(state).contains(command))
    case .alreadyDone: break
    case .refused: #expect(!ModuleTransitions.allowed(state).contains(command))
    }
  }

  @Test func aRepeatOfACommandFindsItDone() {
    #expect(ModuleTransitions.verdict(.offline, .offline) == .alreadyDone)
    #expect(ModuleTransitions.verdict(.initializing, .online) == .alreadyDone)
    #expect(ModuleTransitions.verdict(.broken, .fail) == .alreadyDone)
    #expect(ModuleTransitions.verdict(.removed, .remove) == .alreadyDone)
    #expect(ModuleTransitions.verdict(.offline, .insert) == .alreadyDone)
  }

  @Test func aModuleInServiceIsNotRemoved() {
    #expect(ModuleTransitions.verdict(.online, .remove) == .refused)
    #expect(ModuleTransitions.verdict(.offline, .remove) == .enters(.removed))
  }

  @Test func aRemovedModuleIsOnlyInserted() {
    #expect(ModuleTransitions.allowed(.removed) == [.insert])
  }
}
