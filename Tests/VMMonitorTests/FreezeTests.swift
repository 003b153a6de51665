import Foundation
import Primitives
import RPC
import Testing
import VMAPI

@testable import VMMonitorCore

@Suite(.timeLimit(.minutes(2))) struct FreezeTests {
  private let name = VMName(unchecked: "a")
  private let unit = "ftvs-guest-cpu0@0.service"
  private static let channel =
    "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"

  private func running(_ bench: Bench, hasChannel: Bool = true) async throws -> RunningMonitor {
    let monitor = try await bench.monitor()
    let xml = Bench.definition()
    try await monitor.define(hasChannel ? xml.replacing("<devices>", with: "<devices>\(Self.channel)") : xml)
    try await monitor.start(on: .cpu0)
    return monitor
  }

  private func freeze(_ monitor: RunningMonitor, _ seconds: Int) async throws -> FreezeVM.Result {
    try await monitor.client.call(FreezeVM.self, .init(name: name, timeoutSeconds: seconds))
  }

  private func isFrozen(_ bench: Bench) -> Bool {
    bench.host.state.withLock { $0.processes.values.contains { $0.isFrozen } }
  }

  private func until(_ condition: () -> Bool) async throws {
    while !condition() { try await Task.sleep(for: .milliseconds(2)) }
  }

  @Test func anAgentTellsOfItsGuest() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    let info = try await monitor.client.call(GetGuestInfo.self, .init(name: name))
    #expect(info.agentVersion == "7.2.22" && info.system == "Debian" && info.hostName == "web")
    #expect(info.interfaces == [.init(name: "eth0", addresses: ["10.0.2.15/24"])])
    // This agent does not know of file systems, which spoils nothing else.
    #expect(info.fileSystems.isEmpty)
    bench.host.state.withLock { $0.hasAgent = false }
    let silence = await #expect(throws: RPCError.self) {
      try await monitor.client.call(GetGuestInfo.self, .init(name: name))
    }
    #expect(silence?.matches(VMFailure.agentUnavailable) == true)
  }

  @Test func withoutAChannelItIsSaidHowToAddOne() async throws {
    let bench = try Bench()
    let monitor = try await running(bench, hasChannel: false)
    let error = await #expect(throws: RPCError.self) { try await freeze(monitor, 30) }
    #expect(error?.matches(VMFailure.agentUnavailable) == true)
    #expect(error?.message.contains("<channel type='unix'>") == true)
  }

  @Test func whatIsFrozenIsThawedOnDemandOrWhenTheTimeIsOver() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    #expect(try await freeze(monitor, 600).fileSystems == 3)
    #expect(isFrozen(bench))
    #expect(try await monitor.client.call(ThawVM.self, .init(name: name)).fileSystems == 3)
    #expect(!isFrozen(bench))
    #expect(try await monitor.client.call(ThawVM.self, .init(name: name)).fileSystems == 0)
    #expect(!bench.kinds().contains("vmThawedLate"))

    // Asked again it lasts longer: the first deadline does nothing.
    let first = try await freeze(monitor, 1)
    let second = try await freeze(monitor, 2)
    #expect(second.thawMilliseconds > first.thawMilliseconds && second.fileSystems == 3)
    try await until { !isFrozen(bench) }
    #expect(Date().timeIntervalSince1970 * 1000 >= Double(second.thawMilliseconds))
    try await until { bench.kinds().contains("vmThawedLate") }
  }

  @Test func whatAMonitorLeftFrozenTheNextOneThaws() async throws {
    let bench = try Bench()
    let first = try await running(bench)
    _ = try await freeze(first, 600)
    await first.kill()
    #expect(isFrozen(bench))
    let second = try await bench.monitor(on: .cpu1)
    try await until { !isFrozen(bench) && bench.kinds().contains("vmThawedLate") }
    #expect(try await second.show().state == .running)
  }

  @Test func whatCannotBeThawedIsToldAndTriedAgain() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    _ = try await freeze(monitor, 1)
    bench.host.state.withLock { $0.hasAgent = false }
    try await until { bench.kinds().contains("vmThawFailed") }
    #expect(isFrozen(bench))
    bench.host.state.withLock { $0.hasAgent = true }
    try await until { !isFrozen(bench) && bench.kinds().contains("vmThawedLate") }
    #expect(bench.kinds().count { $0 == "vmThawFailed" } == 1)
  }

  @Test func aFrozenGuestShutsDown() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    _ = try await freeze(monitor, 600)
    _ = try await monitor.client.call(ShutDownVM.self, .init(name: name, timeoutSeconds: 600))
    try await monitor.until { $0.state == .defined }
  }

  @Test func aGuestThatDoesNotHeedItsPowerButtonIsShutDownByItsAgent() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    bench.host.state.withLock { $0.ignoresPowerButton = true }
    _ = try await monitor.client.call(ShutDownVM.self, .init(name: name, timeoutSeconds: 600))
    try await monitor.until { $0.state == .defined }
    #expect(monitor.life.calls.contains("agent guest-shutdown \(unit)"))
  }

  @Test func aFreezeThatIsNotAnsweredIsUndone() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    bench.host.state.withLock { $0.hasAgent = false }
    await #expect(throws: RPCError.self) { try await freeze(monitor, 30) }
    let calls = monitor.life.calls
    #expect(calls.last == "agent guest-fsfreeze-thaw \(unit)")
  }

  @Test func whoGoesOnGetsTheTime() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    _ = try await monitor.client.call(PauseVM.self, .init(name: name))
    let error = await #expect(throws: RPCError.self) { try await freeze(monitor, 30) }
    #expect(error?.matches(VMFailure.wrongState) == true)
    _ = try await monitor.client.call(ResumeVM.self, .init(name: name))
    try await until { monitor.life.calls.contains("agent guest-set-time \(unit)") }
  }
}
