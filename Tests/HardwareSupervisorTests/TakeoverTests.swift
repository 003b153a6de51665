import Foundation
import HardwareAPI
import Primitives
import RPC
import Testing

@testable import HardwareSupervisorCore

@MainActor @Suite struct TakeoverTests {
  @Test func aSupervisorThatTakesOverKeepsTheStatesWithoutAFailure() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    let first = host.module
    host.killSupervisor()
    try await host.until("taken over") { $0.module != first && $0.supervisor != nil }
    try await host.pass(milliseconds: 1000)
    #expect(await host.isDuplex)
    #expect(host.alerts.all.allSatisfy { $0.kind != "moduleFailed" })
    await host.remove()
  }

  @Test(arguments: 0..<40)
  func aReturnIsFinishedWhereverTheSupervisorDies(_ steps: Int) async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    host.nextLife = steps
    host.killSupervisor()
    try await host.pass(milliseconds: 5)
    host.lose(host.module == .cpu0 ? .cpu1 : .cpu0)
    try await host.until("counted") { host in
      for module in [ModuleID.cpu0, .cpu1] where await host.status(module)?.failures ?? 0 > 0 { return true }
      return false
    }
    try await host.becomesDuplex()
    await host.remove()
  }

  @Test(arguments: 0..<40)
  func anInjectedFailureIsFinishedWhereverTheSupervisorDies(_ steps: Int) async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    host.nextLife = steps
    host.killSupervisor()
    let answer = try await host.command(.fail, .cpu0)
    if case .success = answer {
      try await host.until("isolated") {
        await $0.state(.cpu0) == .broken && $0.units.agentProcess(.cpu0) == nil && $0.units.isMarked(.cpu0)
      }
      try await host.command(.online, .cpu0)
    }
    try await host.becomesDuplex()
    await host.remove()
  }

  @Test func whatIsBrokenStaysBrokenOverANewStartOfTheHost() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    try await host.command(.fail, .cpu0)
    try await host.until("isolated") { await $0.supervisor?.records[.cpu0]?.task == ModuleTask.none }
    host.boot = "boot-2"
    try await FileShotMarks { "\(host.directory)/shot/\($0.rawValue)" }.remove(.cpu0)
    host.lose(.cpu1)
    host.units.boot()
    try await host.until("cpu0 down again") {
      await $0.state(.cpu1) == .online && $0.units.isMarked(.cpu0) && $0.units.agentProcess(.cpu0) == nil
    }
    #expect(await host.state(.cpu0) == .broken)
    #expect(host.units.isMarked(.cpu0))
    await host.remove()
  }

  @Test(arguments: [ModuleCommand.offline, .fail])
  func theLegThatTheHostWasForcedToStartFromIsKeptWhateverItsRecordsSay(_ command: ModuleCommand) async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    try await host.command(command, .io1)
    try await host.until("isolated") { await $0.supervisor?.records[.io1]?.task == ModuleTask.none }
    host.boot = "boot-2"
    host.forcedLeg = .io1
    host.legs.set(.io0, .lost)
    try FileManager.default.moveItem(atPath: "\(host.directory)/io0", toPath: "\(host.directory)/io0.away")
    try await FileShotMarks { "\(host.directory)/shot/\($0.rawValue)" }.remove(.io1)
    host.killSupervisor()
    try await host.until("in service") { await $0.state(.io1) == .online }
    #expect(await host.state(.io0) != .online)
    #expect(!host.units.isMarked(.io1))
    #expect(host.alerts.kinds("io1").contains("lastModuleKept"))
    await host.remove()
  }
}
