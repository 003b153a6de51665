import HardwareAPI
import Primitives
import RPC
import Testing

@testable import HardwareSupervisorCore

@MainActor @Suite struct FailureTests {
  @Test func aFreshHostComesUpDuplex() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    #expect(host.alerts.kinds("cpu0") == ["moduleOnline"])
    #expect(host.alerts.kinds("cpu") == ["pairDuplex"])
    await host.remove()
  }

  @Test(arguments: [ModuleID.cpu0, .cpu1])
  func aLostModuleIsIsolatedAndReturnsByItself(_ module: ModuleID) async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    host.lose(module)
    try await host.until("failed") { await $0.status(module)?.failures == 1 }
    try await host.becomesDuplex()
    #expect(!host.units.isMarked(module))
    #expect(await host.status(module)?.failures == 1)
    #expect(await host.status(module.partner)?.failures == 0)
    #expect(host.alerts.kinds(module.rawValue).suffix(3) == ["moduleFailed", "moduleIsolated", "moduleOnline"])
    #expect(host.alerts.kinds("cpu") == ["pairDuplex", "pairSimplex", "pairDuplex"])
    await host.remove()
  }

  @Test func silenceLongerThanTheBoundIsAFailure() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    host.silent = [.cpu1]
    try await host.pass(milliseconds: 80)
    #expect(await host.state(.cpu1) == .online)
    try await host.until("failed", within: 80) { await $0.state(.cpu1) != .online }
    host.silent = []
    try await host.becomesDuplex()
    #expect(host.alerts.all.last { $0.kind == "moduleFailed" }?.data["cause"] == "heartbeatMissed")
    await host.remove()
  }

  @Test func anAgentThatDiesAloneTakesItsModuleOutOfService() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    let before = host.units.process("ftvs-vm@cpu0.service")
    host.units.die(["ftvs-module@cpu0.service"])
    try await host.until("failed") { await $0.status(.cpu0)?.failures == 1 }
    try await host.becomesDuplex()
    #expect(host.units.process("ftvs-vm@cpu0.service") != before)
    await host.remove()
  }

  @Test func theLastModuleIsNeverShot() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    try await host.command(.offline, .cpu1)
    let kills = host.units.state.withLock { $0.kills.filter { $0 == "ftvs-cpu0.slice" } }
    host.lose(.cpu0)
    try await host.until("counted") { await $0.status(.cpu0)?.failures == 1 }
    try await host.until("back") { await $0.state(.cpu0) == .online }
    #expect(host.units.state.withLock { $0.kills.filter { $0 == "ftvs-cpu0.slice" } } == kills)
    #expect(await host.state(.cpu1) == .offline)
    #expect(host.alerts.all.last { $0.kind == "moduleFailed" }?.severity == .critical)
    await host.remove()
  }

  @Test func bothModulesLostAtOnceReturnInPlace() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    host.lose(.cpu0)
    host.lose(.cpu1)
    try await host.until("counted") {
      let first = await $0.status(.cpu0)?.failures
      let second = await $0.status(.cpu1)?.failures
      return first == 1 && second == 1
    }
    try await host.becomesDuplex()
    await host.remove()
  }

  @Test func aBurstOfFailuresEndsDuplex() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    for index in 0..<20 {
      host.lose(index.isMultiple(of: 2) ? .cpu0 : .cpu1)
      try await host.pass(milliseconds: 15)
    }
    try await host.becomesDuplex()
    await host.remove()
  }

  @Test func aModuleThatStaysDownIsBrokenAndTheAlertNamesTheUnit() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    host.units.fail("ftvs-storage@cpu1.service")
    host.lose(.cpu1)
    try await host.until("broken for good", within: 60_000) {
      let record = await $0.supervisor?.records[.cpu1]
      return record?.state == .broken && record?.task == ModuleTask.none
    }
    let alert = host.alerts.all.last { $0.kind == "moduleReturnFailed" }
    #expect(alert?.message.contains("journalctl -u ftvs-storage@cpu1.service") == true)
    #expect(await host.status(.cpu1)?.nextStep == "Bring it back with 'ftctl module online cpu1'.")
    host.units.fail("ftvs-storage@cpu1.service", false)
    try await host.command(.online, .cpu1)
    try await host.becomesDuplex()
    await host.remove()
  }

  @Test func processesThatDoNotEndAreToldAndKeepTheModuleBroken() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    try await host.until("the supervisor on cpu0") { $0.module == .cpu0 }
    host.units.stick("ftvs-cpu1.slice")
    let answer = try await host.command(.fail, .cpu1)
    guard case .failure(let error) = answer else {
      Issue.record("\(answer)")
      return
    }
    #expect(error.matches(HardwareFailure.unitsDidNotStop))
    #expect(host.alerts.kinds("cpu1").contains("unitsDidNotStop"))
    host.units.stick("ftvs-cpu1.slice", false)
    try await host.until("isolated") { await $0.supervisor?.records[.cpu1]?.task == ModuleTask.none }
    #expect(await host.state(.cpu1) == .broken)
    await host.remove()
  }

  @Test func anAgentStoppedInGoodOrderIsNoFailure() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    await host.endAgent(.cpu1)
    try await host.pass(milliseconds: 500)
    host.units.state.withLock { $0.units["ftvs-module@cpu1.service"]?.isWanted = true }
    try await host.pass(milliseconds: 500)
    #expect(await host.isDuplex)
    #expect(await host.status(.cpu1)?.failures == 0)
    await host.remove()
  }

  @Test func aNewStartOfTheHostIsNoFailure() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    host.boot = "boot-2"
    host.lose(.cpu0)
    host.lose(.cpu1)
    try await host.pass(milliseconds: 50)
    try await host.becomesDuplex()
    #expect(await host.status(.cpu0)?.failures == 0)
    #expect(await host.status(.cpu1)?.failures == 0)
    await host.remove()
  }
}
