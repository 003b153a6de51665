import Primitives
import RPC
import Testing
import VMAPI

@Suite(.timeLimit(.minutes(2))) struct RecoveryTests {
  private let cpu0 = "ftvs-guest-cpu0@0.service"
  private let cpu1 = "ftvs-guest-cpu1@0.service"

  private func running(_ bench: Bench, protection: String = "restart") async throws -> RunningMonitor {
    let monitor = try await bench.monitor(on: .cpu1)
    try await monitor.define(Bench.definition(protection: protection))
    try await monitor.start(on: .cpu0)
    return monitor
  }

  @Test func aLostModuleIsFollowedByARestartOnTheOther() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    bench.host.lose(.cpu0)
    try await monitor.until { $0.state == .running && $0.failovers == 1 && $0.processID != nil }
    #expect(bench.host.running == [cpu1])
    #expect(bench.host.violations.isEmpty)
    let recovery = try #require(try await monitor.show().lastRecovery)
    #expect(recovery.fromModule == .cpu0)
    #expect(recovery.toModule == .cpu1)
    #expect(recovery.fenceMilliseconds > 0 && recovery.startMilliseconds > 0)
    #expect(bench.kinds().suffix(2) == ["vmFailed", "vmFailedOver"])
    let data = bench.alerts.withLock { $0.last?.data }
    #expect(data?["startMilliseconds"] != nil)
  }

  @Test func aProcessThatDiesOnALivingModuleIsRestarted() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    bench.host.end(cpu0, result: "signal")
    try await monitor.until { $0.state == .running && $0.failovers == 1 }
    #expect(bench.host.running.count == 1)
    #expect(bench.host.violations.isEmpty)
  }

  @Test func theOutageIsInTheRecords() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    bench.host.lose(.cpu0)
    try await monitor.until { $0.state == .running && $0.failovers == 1 }
    let availability = try await monitor.availability()
    let outage = try #require(availability.outages.first)
    #expect(availability.outages.count == 1)
    #expect(!outage.planned)
    #expect(outage.endMilliseconds != nil)
    #expect(outage.cause.contains("cpu0"))
  }

  @Test func anUnprotectedMachineStaysDownWithTheReason() async throws {
    let bench = try Bench()
    let monitor = try await running(bench, protection: "none")
    bench.host.lose(.cpu0)
    let summary = try await monitor.until { $0.state == .crashed }
    #expect(summary.reason?.contains("cpu0") == true)
    #expect(bench.host.running.isEmpty)
  }

  @Test func withoutTheHardwareSupervisorTheOwnModuleIsTaken() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    bench.host.state.withLock { $0.isHardwareAway = true }
    bench.host.end(cpu0, result: "signal")
    try await monitor.until { $0.state == .running && $0.failovers == 1 }
    #expect(bench.host.running == [cpu1])
  }

  @Test func aStartThatFailsIsTriedAgainAndSaysWhy() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    bench.host.state.withLock { $0.startFailures = 3 }
    bench.host.lose(.cpu0)
    let waiting = try await monitor.until { $0.state == .failedOver && $0.reason?.contains("attempt") == true }
    #expect(waiting.reason?.contains("ended instead of becoming ready") == true)
    try await monitor.until { $0.state == .running && $0.failovers == 1 }
    #expect(bench.host.violations.isEmpty)
    #expect(bench.kinds().contains("vmStartFailed"))
  }

  @Test func storageThatIsAwayDelaysTheRestartOnly() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    bench.host.state.withLock { $0.isStorageAway = true }
    bench.host.lose(.cpu0)
    try await monitor.until { $0.state == .failedOver && $0.reason?.contains("a-disk") == true }
    #expect(bench.host.running.isEmpty)
    bench.host.state.withLock { $0.isStorageAway = false }
    try await monitor.until { $0.state == .running && $0.failovers == 1 }
  }

  @Test func aMachineThatCannotComeBackCanBeKilled() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    bench.host.state.withLock { $0.startFailures = .max }
    bench.host.lose(.cpu0)
    try await monitor.until { $0.state == .failedOver && $0.reason?.contains("attempt") == true }
    let summary = try await monitor.client.call(KillVM.self, .init(name: VMName(unchecked: "a")))
    #expect(summary.state == .defined)
  }

  @Test func withoutAModuleItWaitsForOne() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    bench.host.state.withLock { _ = $0.lost.insert(.cpu1) }
    bench.host.lose(.cpu0)
    try await monitor.until { $0.state == .failedOver && $0.reason?.contains("No CPU module") == true }
    bench.host.repair(.cpu1)
    try await monitor.until { $0.state == .running && $0.failovers == 1 }
    #expect(bench.host.running == [cpu1])
  }

  @Test func aLostConnectionAloneIsMadeAgain() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    // Taken out first: the monitor may be quick.
    let instances = bench.host.state.withLock { $0.instances.removeValue(forKey: cpu0) ?? [] }
    for weak in instances { weak.instance?.source.finish() }
    while bench.host.state.withLock({ $0.instances[cpu0]?.isEmpty ?? true }) { await Task.yield() }
    #expect(try await monitor.show().failovers == 0)
    #expect(bench.host.running == [cpu0])
  }

  @Test func anIOErrorStopsTheGuestVisibly() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    for weak in bench.host.state.withLock({ $0.instances[cpu0] ?? [] }) {
      weak.instance?.source.yield(.paused(reason: "an I/O error on disk0"))
    }
    let summary = try await monitor.until { $0.state == .paused }
    #expect(summary.reason == "an I/O error on disk0")
    #expect(bench.kinds().contains("vmPaused"))
  }
}
