import FTVSClient
import HostConfiguration
import Synchronization
import Systemd
import Testing

@testable import DaemonKit

/// A service whose `vm.list` answers only when it is told to.
private final class SlowService: Sendable {
  private let called = AsyncStream<Void>.makeStream()
  private let released = AsyncStream<Void>.makeStream()

  func activate(_ activation: Activation) -> ActiveService {
    var router = Router(title: "slow", version: "1")
    router.serve(ListVMs.self) { [self] _, _ throws(RPCError) in
      called.continuation.yield()
      for await _ in released.stream { break }
      return ListVMs.Result(vms: [])
    }
    return ActiveService(router: router)
  }

  func isCalled() async { for await _ in called.stream { break } }
  func release() { released.continuation.finish() }
}

@Suite(.timeLimit(.minutes(2))) struct LifeTests {
  let host: TestHost

  init() throws { host = try TestHost() }

  private func status() async throws -> ServiceStatus { try await host.client.call(GetServiceStatus.self) }

  @Test func theFirstBecomesActiveAndTellsWhoItIs() async throws {
    let instance = host.start(.cpu0)
    let ping = try await host.client.call(ServicePing.self)
    #expect(ping.service == .vm && ping.module == .cpu0 && ping.epoch == 1)
    let status = try await status()
    #expect(status.role == .active && status.problem == nil)
    #expect(status.legs.map(\.state) == [.inStep, .inStep])
    let holder = Lease.holder(path: host.paths.lease(.vm))
    #expect(holder?.module == .cpu0 && holder?.epoch == 1)
    try await instance.stop()
  }

  @Test func theStandbyTakesOverWithAHigherEpoch() async throws {
    let first = host.start(.cpu0)
    #expect(try await host.client.call(ServicePing.self).module == .cpu0)
    let second = host.start(.cpu1)
    try await first.stop()
    let ping = try await host.client.call(ServicePing.self)
    #expect(ping.module == .cpu1 && ping.epoch == 2)
    try await second.stop()
  }

  @Test func aStandbyEndsWithoutHavingServed() async throws {
    let first = host.start(.cpu0)
    _ = try await status()
    let second = host.start(.cpu1)
    try await second.stop()
    #expect(try await status().module == .cpu0)
    try await first.stop()
  }

  @Test func aRequestInFlightIsAnsweredBeforeTheHandOver() async throws {
    let slow = SlowService()
    let first = host.start(.cpu0) { slow.activate($0) }
    async let answer = host.client.call(ListVMs.self)
    await slow.isCalled()
    async let stopped: Void = first.stop()
    slow.release()
    _ = try await answer
    try await stopped
  }

  @Test func nobodyIsRefusedDuringAHandOver() async throws {
    var active = host.start(.cpu0)
    // It has to hold the lease before the next one waits for it.
    #expect(try await status().module == .cpu0)
    let calls = Task {
      var count = 0
      while !Task.isCancelled {
        _ = try await host.client.call(ServicePing.self)
        count += 1
      }
      return count
    }
    for module in [ModuleID.cpu1, .cpu0, .cpu1] {
      let next = host.start(module)
      while try await status().module == module.partner { try await active.stop() }
      active = next
    }
    calls.cancel()
    _ = try? await calls.value
    #expect(try await status().epoch == 4)
    try await active.stop()
  }

  @Test func aTaskThatEndsEndsTheDaemon() async throws {
    let instance = host.start(.cpu0) { _ in
      ActiveService(router: Router(title: "t", version: "1"), tasks: [{}])
    }
    await #expect(throws: UnexpectedEnd(part: "a task of the service")) { try await instance.task.value }
  }

  @Test func anActivationThatFailsEndsTheDaemon() async throws {
    struct Broken: Error {}
    let instance = host.start(.cpu0) { _ in throw Broken() }
    await #expect(throws: Broken.self) { try await instance.task.value }
  }

  @Test func measurementsOfTheServiceComeAfterTheKits() async throws {
    let own = Metric(name: "things", summary: "Things.", value: 3, labels: [:])
    let instance = host.start(.cpu0) { _ in
      ActiveService(router: Router(title: "t", version: "1"), metrics: { [own] })
    }
    let metrics = try await host.client.call(GetServiceMetrics.self).metrics
    #expect(metrics.last == own)
    for name in ["requests", "connections", "residentMemoryBytes", "processorTimeSeconds", "alertsSpooled"] {
      #expect(metrics.contains { $0.name == name })
    }
    #expect(metrics.first { $0.name == "residentMemoryBytes" }?.value ?? 0 > 1e6)
    try await instance.stop()
  }

  @Test func forcingAServiceThatServesIsRefusedOrNothing() async throws {
    let instance = host.start(.cpu0)
    #expect(try await host.client.call(ForceLeg.self, .init(leg: .io0)).role == .active)
    try await instance.stop()
  }
}

@Suite(.timeLimit(.minutes(2))) struct NotificationTests {
  @Test func theManagerIsToldOfEachStepAndThatTheServingPathAdvances() async throws {
    let host = try TestHost()
    let manager = try NotifySocket(host.folder.path + "/notify")
    let notifier = Notifier(
      environment: ["NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "20000"], processID: 1)
    let instance = host.start(.cpu0, notifier: notifier)
    _ = await manager.next { $0.hasPrefix("READY=1\nSTATUS=standby") }
    _ = await manager.next { $0 == "STATUS=active on cpu0, epoch 1" }
    _ = await manager.next { $0 == "WATCHDOG=1" }
    async let stopped: Void = instance.stop()
    _ = await manager.next { $0.hasPrefix("STOPPING=1") }
    try await stopped
  }

  @Test func aStandbyIsReadyAndTellsTheWatchdog() async throws {
    let host = try TestHost()
    let lease = try #require(try await Lease.take(host.paths.lease(.vm)))
    let manager = try NotifySocket(host.folder.path + "/notify")
    let notifier = Notifier(
      environment: ["NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "20000"], processID: 1)
    let instance = host.start(.cpu1, notifier: notifier)
    _ = await manager.next { $0.hasPrefix("READY=1\nSTATUS=standby") }
    _ = await manager.next { $0 == "WATCHDOG=1" }
    try await instance.stop()
    lease.release()
  }
}

/// What a service does whose state is refused: io1 is older than what was acknowledged, and alone.
@Suite(.timeLimit(.minutes(2))) struct RecoveryTests {
  let host: TestHost

  init() async throws {
    host = try TestHost()
    let both = host.start(.cpu0)
    _ = try await host.client.call(ServicePing.self)
    try await both.stop()
    try host.folder.move("io1", to: "away")
    let alone = host.start(.cpu0)
    _ = try await host.client.call(ServicePing.self)
    try await alone.stop()
    try host.folder.move("away", to: "io1")
    try host.folder.move("io0", to: "away")
  }

  @Test func itSaysWhyItDoesNotServe() async throws {
    let instance = host.start(.cpu0)
    let status = try await host.client.call(GetServiceStatus.self)
    #expect(status.role == .recovery)
    #expect(status.problem?.contains("io1") == true)
    let error = await #expect(throws: RPCError.self) { try await host.client.call(ListVMs.self) }
    #expect(error?.matches(CommonFailure.stateUnavailable) == true && error?.message == status.problem)
    #expect(try await host.client.call(ServicePing.self).epoch == 0)
    try await instance.stop()
  }

  @Test func theAlertBusIsToldWhileItDoesNotServe() async throws {
    let bus = FakeBus()
    let server = try host.serveAlerts(bus)
    let instance = host.start(.cpu0)
    await bus.has(kind: "serviceInRecovery")
    try await instance.stop()
    server.cancel()
  }

  @Test func itServesWhenTheLegIsBack() async throws {
    let instance = host.start(.cpu0)
    #expect(try await host.client.call(GetServiceStatus.self).role == .recovery)
    try host.folder.move("away", to: "io0")
    try await becomesActive()
    try await instance.stop()
  }

  @Test func itServesWhenALegIsForced() async throws {
    let instance = host.start(.cpu0)
    let status = try await host.client.call(ForceLeg.self, .init(leg: .io1))
    #expect(status.problem?.contains("io0") == true)
    try await becomesActive()
    #expect(!host.folder.names("local/vm/spool").isEmpty)
    try await instance.stop()
  }

  /// Asks until it is; the suite's time limit bounds it.
  private func becomesActive() async throws {
    while try await host.client.call(ServicePing.self).epoch == 0 { await Task.yield() }
    while try await host.client.call(GetServiceStatus.self).activeSinceMilliseconds == 0 { await Task.yield() }
  }
}
