import Foundation
import HardwareAPI
import Primitives
import RPC
import Testing

@testable import HardwareSupervisorCore

@MainActor @Suite struct SupervisorContractTests {
  private func caller(_ host: SimulatedHost) throws -> RouterCaller {
    let supervisor = try #require(host.supervisor)
    return RouterCaller(supervisor.router(version: "1"), as: .root)
  }

  @Test func modulesAreListedWithTheirPairs() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    let list = try await caller(host).call(GetModules.self)
    #expect(list.modules.map(\.module) == [.cpu0, .cpu1, .io0, .io1])
    #expect(list.pairs == [PairStatus(kind: .cpu, state: .duplex), PairStatus(kind: .io, state: .duplex)])
    #expect(list.modules[0].heartbeatAgeMilliseconds != nil)
    #expect(list.modules[2].heartbeatAgeMilliseconds == nil)
    await host.remove()
  }

  @Test func anAgentIsToldToBeatThreeTimesInABound() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    let stream = try await caller(host).subscribe(
      AttachModuleAgent.self,
      AttachModuleAgent.Params(module: .cpu0, incarnation: .random(), processID: 4711))
    var instructions = stream.makeAsyncIterator()
    #expect(try await instructions.next() == AgentInstruction(heartbeatIntervalMilliseconds: 40))
    await host.remove()
  }

  @Test func onlyCPUModulesHaveAgents() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    let supervisor = try #require(host.supervisor)
    await #expect(throws: RPCError.self) {
      _ = try await supervisor.attach(
        AttachModuleAgent.Params(module: .io0, incarnation: .random(), processID: 1))
    }
    await host.remove()
  }

  @Test func everyMethodOfTheAPIIsServed() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    let supervisor = try #require(host.supervisor)
    let names = Set(supervisor.router(version: "1").methods.map(\.name))
    #expect(
      names.isSuperset(of: [
        GetModules.name, FollowModules.name, GetServices.name, PlaceOnModule.name, TakeModuleOffline.name,
        BringModuleOnline.name, FailModule.name, RemoveModule.name, InsertModule.name, AttachModuleAgent.name,
        SendHeartbeat.name,
      ]))
    await host.remove()
  }
}

@Suite struct ShotMarkTests {
  private func marks() -> (FileShotMarks, String) {
    let directory = NSTemporaryDirectory() + "ftvs-marks-\(UUID().uuidString)"
    return (FileShotMarks { "\(directory)/\($0.rawValue)" }, directory)
  }

  @Test func aMarkIsAFileThatMayBeWrittenAndRemovedTwice() async throws {
    let (marks, directory) = marks()
    for _ in 0..<2 { try await marks.write(.cpu0) }
    #expect(FileManager.default.fileExists(atPath: directory + "/cpu0"))
    #expect(await marks.exists(.cpu0))
    for _ in 0..<2 { try await marks.remove(.cpu0) }
    #expect(await !marks.exists(.cpu0))
    try FileManager.default.removeItem(atPath: directory)
  }

  @Test func aMarkThatCannotBeWrittenIsAnErrorThatNamesIt() async throws {
    let marks = FileShotMarks { "/proc/no/such/\($0.rawValue)" }
    do {
      try await marks.write(.cpu0)
      Issue.record("written")
    } catch {
      #expect(error.message.contains("/proc/no/such/cpu0"))
    }
  }
}
