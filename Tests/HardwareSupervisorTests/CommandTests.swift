import Foundation
import HardwareAPI
import Primitives
import RPC
import Testing

@testable import HardwareSupervisorCore

@MainActor @Suite struct CommandTests {
  @Test(arguments: [ModuleID.cpu0, .cpu1])
  func aFailedModuleStaysBrokenUntilItIsBroughtOnline(_ module: ModuleID) async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    let failed = try await host.command(.fail, module, reason: "to see what happens").get()
    #expect(failed.state == .broken)
    #expect(failed.reason == "to see what happens")
    try await host.pass(milliseconds: 2000)
    #expect(await host.state(module) == .broken)
    #expect(host.units.agentProcess(module) == nil)
    #expect(try await host.command(.online, module).get().state == .initializing)
    try await host.becomesDuplex()
    await host.remove()
  }

  @Test(arguments: [ModuleID.cpu0, .cpu1])
  func aModuleIsTakenOfflineRemovedInsertedAndBroughtBack(_ module: ModuleID) async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    #expect(try await host.command(.offline, module).get().state == .offline)
    try await host.until("stopped") {
      await $0.supervisor?.records[module]?.task == ModuleTask.none
    }
    #expect(await host.status(module)?.failures == 0)
    #expect(try await host.command(.remove, module).get().state == .removed)
    #expect(try await host.command(.insert, module).get().state == .offline)
    #expect(try await host.command(.online, module).get().state == .initializing)
    try await host.becomesDuplex()
    #expect(
      host.alerts.kinds(module.rawValue).filter { $0 != "moduleIsolated" }
        == ["moduleOnline", "moduleOffline", "moduleRemoved", "moduleInserted", "moduleOnline"])
    await host.remove()
  }

  @Test func aRefusalSaysWhatToTypeNext() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    try await host.command(.fail, .cpu0)
    guard case .failure(let error) = try await host.command(.offline, .cpu0) else {
      Issue.record("not refused")
      return
    }
    #expect(error.matches(HardwareFailure.wrongState))
    #expect(error.message == "cpu0 is broken. Bring it back with 'ftctl module online cpu0'.")
    #expect(error.data["state"] == "broken")
    #expect(error.data["allowed"] == ["online", "remove"])
    await host.remove()
  }

  @Test(arguments: [ModuleCommand.offline, .fail], [ModuleID.cpu1, .io1])
  func theLastModuleOfAPairIsKept(_ command: ModuleCommand, _ module: ModuleID) async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    try await host.command(.fail, module.partner)
    guard case .failure(let error) = try await host.command(command, module) else {
      Issue.record("not refused")
      return
    }
    #expect(error.matches(HardwareFailure.lastInService))
    #expect(error.message.contains("'ftctl module online \(module.partner)'"))
    #expect(await host.state(module) == .online)
    await host.remove()
  }

  @Test func withForceTheLastModuleFailsToo() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    host.isForced = true
    try await host.command(.fail, .cpu0)
    try await host.until("supervisor") { $0.supervisor != nil }
    _ = try await host.tryCommand(.fail, .cpu1, force: true)
    try await host.pass(milliseconds: 200)
    #expect(host.units.agentProcess(.cpu1) == nil)
    #expect(host.units.isMarked(.cpu0) && host.units.isMarked(.cpu1))
    await host.remove()
  }

  @Test func aRepeatedCommandIsAnsweredAlike() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    for _ in 0..<2 { #expect(try await host.command(.fail, .cpu1).get().state == .broken) }
    #expect(await host.status(.cpu1)?.failures == 1)
    await host.remove()
  }

  @Test func anIOModuleComesBackWhenItsLegsAreInStep() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    #expect(try await host.command(.fail, .io0).get().state == .broken)
    #expect(host.units.isMarked(.io0))
    host.legs.set(.io0, .resyncing)
    try await host.command(.online, .io0)
    try await host.until("catching up") { await $0.state(.io0) == .syncing }
    // They would wait before they try a leg again that failed.
    #expect(host.legs.checked == [.storage, .vm, .alerts])
    try await host.pass(milliseconds: 3000)
    #expect(await host.state(.io0) == .syncing)
    #expect(!host.units.isMarked(.io0))
    host.legs.set(.io0, .inStep)
    try await host.becomesDuplex()
    await host.remove()
  }

  @Test func aLegThatIsLostByItselfBreaksItsModuleAndItsReturnMendsIt() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    host.legs.set(.io1, .lost)
    try await host.until("broken") { await $0.state(.io1) == .broken }
    #expect(await host.status(.io1)?.reason?.contains("its disk is gone") == true)
    #expect(!host.units.isMarked(.io1))
    host.legs.set(.io1, .resyncing)
    try await host.until("catching up") { await $0.state(.io1) == .syncing }
    host.legs.set(.io1, .inStep)
    try await host.becomesDuplex()
    await host.remove()
  }

  @Test func aModuleIsKeptWhenTheOthersLegWasLostSinceSomebodyLooked() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    host.legs.set(.io0, .lost)
    for command in [ModuleCommand.offline, .fail] {
      let error = await #expect(throws: RPCError.self) { try await host.command(command, .io1).get() }
      #expect(error?.matches(HardwareFailure.lastInService) == true)
    }
    #expect(await host.state(.io0) == .broken)
    #expect(await host.state(.io1) == .online)
    host.legs.set(.io0, .inStep)
    try await host.becomesDuplex()
    await host.remove()
  }

  @Test func aFollowerGetsTheStatesAndThenEachChange() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    let supervisor = try #require(host.supervisor)
    let stream = try await supervisor.follow()
    try await host.command(.fail, host.module == .cpu0 ? .cpu1 : .cpu0)
    await supervisor.stop()
    var seen: [String] = []
    for try await status in stream { seen.append("\(status.module) \(status.state)") }
    #expect(seen.prefix(4) == ["cpu0 online", "cpu1 online", "io0 online", "io1 online"])
    #expect(seen.dropFirst(4).first?.hasSuffix("broken") == true)
    await host.remove()
  }

  @Test func placementPrefersExcludesAndTellsWhenThereIsNone() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    let supervisor = try #require(host.supervisor)
    #expect(try await supervisor.place(prefer: .cpu1, exclude: []) == .cpu1)
    #expect(try await supervisor.place(prefer: .cpu1, exclude: [.cpu1]) == .cpu0)
    await #expect(throws: RPCError.self) { _ = try await supervisor.place(prefer: nil, exclude: [.cpu0, .cpu1]) }
    await host.remove()
  }

  @Test func servicesTellWhoIsActive() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    let module = try #require(host.module)
    let services = try #require(await host.supervisor?.services())
    let hardware = try #require(services.first { $0.service == .hardware })
    #expect(hardware.instances.first { $0.module == module }?.state == .active)
    #expect(hardware.instances.first { $0.module != module }?.state == .standby)
    await host.remove()
  }
}
