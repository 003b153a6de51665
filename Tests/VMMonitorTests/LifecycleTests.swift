import Foundation
import Primitives
import RPC
import Testing
import VMAPI

@Suite(.timeLimit(.minutes(2))) struct LifecycleTests {
  @Test func aDefinitionComesBackAsItWas() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    let text = "<!-- mine -->\n" + Bench.definition()
    try await monitor.define(text)
    let shown = try await monitor.show()
    #expect(
      shown.definition == text.replacing("<name>a</name>", with: "<name>a</name>\n  <uuid>\(shown.identifier)</uuid>"))
    // And once more as it is shown.
    try await monitor.define(shown.definition)
    #expect(try await monitor.show() == shown)
    #expect(try await monitor.show().state == .defined)
  }

  @Test func aDefinitionIsAFileOnBothLegs() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    for await legs in monitor.state.legChanges() where legs.allSatisfy({ $0.state == .inStep }) { break }
    try await monitor.define(Bench.definition())
    for leg in ["io0", "io1"] {
      let file = try String(contentsOfFile: "\(bench.directory)/\(leg)/vm/machines/a/domain.xml", encoding: .utf8)
      #expect(try await file == monitor.show().definition)
    }
    _ = try await monitor.client.call(UndefineVM.self, .init(name: VMName(unchecked: "a")))
    #expect(!FileManager.default.fileExists(atPath: "\(bench.directory)/io0/vm/machines/a"))
  }

  @Test func aRepeatOfADefinitionWithItsKeyIsAnsweredAlike() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    let params = DefineVM.Params(
      definition: Bench.definition(),
      requestKey: .random(millisecondsSinceEpoch: Int64(Date().timeIntervalSince1970 * 1000)))
    let first = try await monitor.client.call(DefineVM.self, params)
    #expect(try await monitor.client.call(DefineVM.self, params) == first)
  }

  @Test func aBadDefinitionIsRefusedWithElementAndLine() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    let error = try await #require(throws: RPCError.self) {
      try await monitor.define(Bench.definition(extra: "<iothreads>1</iothreads>"))
    }
    #expect(error.matches(VMFailure.badDefinition))
    #expect(error.data["element"] == "domain/iothreads")
    #expect(error.data["line"] == 7)
  }

  @Test func aUUIDBelongsToOneMachine() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    let uuid = "6f1c9c1e-7c1f-4f8a-9c53-2f7d1c2f9a10"
    try await monitor.define(Bench.definition("a", uuid: uuid))
    let error = try await #require(throws: RPCError.self) {
      try await monitor.define(Bench.definition("b", uuid: uuid))
    }
    #expect(error.matches(VMFailure.vmExists))
  }

  @Test func theHostHoldsSixtyFourMachines() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    for number in 0..<64 { try await monitor.define(Bench.definition("vm\(number)")) }
    let error = try await #require(throws: RPCError.self) { try await monitor.define(Bench.definition("more")) }
    #expect(error.matches(VMFailure.limitReached))
    #expect(try await monitor.client.call(ListVMs.self).vms.count == 64)
  }

  @Test func aStartedMachineRunsOnTheModuleAskedFor() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    try await monitor.define(Bench.definition())
    let summary = try await monitor.start(on: .cpu1)
    #expect(summary.state == .running)
    #expect(summary.module == .cpu1)
    #expect(summary.processID == 4711)
    #expect(bench.host.running == ["ftvs-guest-cpu1@0.service"])
    #expect(try await monitor.start() == summary)
    #expect(bench.host.violations.isEmpty)
  }

  @Test func anAcceleratorThatDoesNotWorkIsDoneWithoutAndSaidOnce() async throws {
    let bench = try Bench()
    bench.host.state.withLock { $0.isAcceleratorBroken = true }
    let monitor = try await bench.monitor()
    try await monitor.define(Bench.definition())
    #expect(try await monitor.start().state == .running)
    _ = try await monitor.client.call(KillVM.self, .init(name: VMName(unchecked: "a")))
    #expect(try await monitor.start().state == .running)
    #expect(bench.kinds().filter { $0 == "vmEmulated" }.count == 1)
    #expect(bench.host.violations.isEmpty)
  }

  @Test func aMissingVolumeIsNamed() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    try await monitor.define(Bench.definition().replacingOccurrences(of: "a-disk", with: "missing"))
    let error = try await #require(throws: RPCError.self) { try await monitor.start() }
    #expect(error.matches(VMFailure.storageUnavailable))
    #expect(error.data["volume"] == "missing")
    let shown = try await monitor.show()
    #expect(shown.state == .defined)
    #expect(shown.reason?.contains("missing") == true)
    #expect(bench.kinds().contains("vmStartFailed"))
  }

  @Test func aRunningMachineIsNeitherRedefinedNorUndefined() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    try await monitor.define(Bench.definition())
    try await monitor.start()
    await #expect(throws: RPCError.self) { try await monitor.define(Bench.definition()) }
    await #expect(throws: RPCError.self) {
      try await monitor.client.call(UndefineVM.self, .init(name: VMName(unchecked: "a")))
    }
  }

  @Test func aDefinitionDoesNotWaitForALegThatHangs() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    let folders = ["io0", "io1"].map { "\(bench.directory)/\($0)/vm/machines/a" }
    try FileManager.default.createDirectory(atPath: folders[0], withIntermediateDirectories: true)
    // Who opens it waits for somebody to write into it.
    #expect(mkfifo(folders[0] + "/domain.xml", 0o600) == 0)
    try await monitor.define(Bench.definition())
    let file = try String(contentsOfFile: folders[1] + "/domain.xml", encoding: .utf8)
    #expect(try await file == monitor.show().definition)
    #expect(try await monitor.show().state == .defined)
    let writer = open(folders[0] + "/domain.xml", O_WRONLY)
    #expect(writer >= 0)
    close(writer)
  }

  @Test func aShutdownEndsInTheStateDefined() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    try await monitor.define(Bench.definition())
    try await monitor.start()
    _ = try await monitor.client.call(ShutDownVM.self, .init(name: VMName(unchecked: "a")))
    try await monitor.until { $0.state == .defined }
    #expect(bench.host.running.isEmpty)
    #expect(try await monitor.show().failovers == 0)
    #expect(try await monitor.availability().outages.map(\.planned) == [true])
  }

  @Test func aGuestThatDoesNotShutDownIsEnded() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    try await monitor.define(Bench.definition())
    try await monitor.start()
    bench.host.state.withLock { $0.processes["ftvs-guest-cpu0@0.service"]?.isAnswering = false }
    _ = try await monitor.client.call(ShutDownVM.self, .init(name: VMName(unchecked: "a"), timeoutSeconds: 1))
    try await monitor.until { $0.state == .defined }
    #expect(bench.host.running.isEmpty)
  }

  @Test func aKilledMachineStaysDownAndCountsAsPlanned() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    try await monitor.define(Bench.definition())
    try await monitor.start()
    let summary = try await monitor.client.call(KillVM.self, .init(name: VMName(unchecked: "a")))
    #expect(summary.state == .defined)
    #expect(bench.host.running.isEmpty)
    #expect(try await monitor.availability().unplannedDownMilliseconds == 0)
    #expect(!bench.kinds().contains("vmFailed"))
  }

  @Test func theEndIsSeenAtOnceOfAProcessWhoseConnectionEndedBeforeIt() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    try await monitor.define(Bench.definition())
    try await monitor.start()
    let unit = "ftvs-guest-cpu0@0.service"
    bench.host.leave(unit)
    // It is being connected to again by then.
    while monitor.life.calls.count(where: { $0 == "attach \(unit)" }) < 2 { await Task.yield() }
    let ended = ContinuousClock.now
    bench.host.end(unit, result: "success", inOrder: true)
    try await monitor.until { $0.state == .defined }
    // Less than the two seconds that a process may take for an answer here.
    #expect(ContinuousClock.now - ended < .seconds(1))
    #expect(try await monitor.show().failovers == 0)
  }

  @Test func aGuestThatShutsItselfDownIsNotRestarted() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    try await monitor.define(Bench.definition())
    try await monitor.start()
    bench.host.end("ftvs-guest-cpu0@0.service", result: "success", inOrder: true)
    try await monitor.until { $0.state == .defined }
    #expect(bench.host.running.isEmpty)
    #expect(try await monitor.show().failovers == 0)
  }

  @Test func autostartIsOneStartPerStartOfTheHost() async throws {
    let bench = try Bench()
    let first = try await bench.monitor()
    try await first.define(Bench.definition(), autostart: true)
    await first.kill()
    let second = try await bench.monitor()
    #expect(try await second.show().state == .defined)
    await second.kill()
    bench.boot.withLock { $0 = "boot 2" }
    let third = try await bench.monitor()
    try await third.until { $0.state == .running }
    #expect(bench.host.running.count == 1)
  }
}
