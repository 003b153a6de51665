import Primitives
import RPC
import Testing
import VMAPI

@testable import VMMonitorCore

@Suite(.timeLimit(.minutes(2))) struct QuarantineTests {
  private let name = VMName(unchecked: "a")

  @Test func aGuestThatKeepsFailingIsNoLongerRestarted() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    try await monitor.define(Bench.definition())
    try await monitor.start()
    for failure in 1...6 {
      let unit = try #require(bench.host.running.first)
      bench.host.end(unit, result: "signal")
      if failure < 6 { try await monitor.until { $0.state == .running && $0.failovers == failure } }
    }
    let summary = try await monitor.until { $0.state == .quarantined }
    #expect(summary.reason?.contains("ftctl vm release a") == true)
    #expect(bench.host.running.isEmpty)
    // The alert follows the record.
    while !bench.kinds().contains("vmQuarantined") { await Task.yield() }
    await monitor.kill()

    let next = try await bench.monitor(on: .cpu1)
    #expect(try await next.show().state == .quarantined)
    await #expect(throws: RPCError.self) { try await next.start() }
    #expect(try await next.client.call(ReleaseVM.self, .init(name: name)).state == .defined)
    #expect(try await next.start().state == .running)
    let unit = try #require(bench.host.running.first)
    bench.host.end(unit, result: "signal")
    try await next.until { $0.state == .running && $0.failovers == 6 }
  }

  @Test func failuresOfModulesDoNotCount() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    try await monitor.define(Bench.definition())
    try await monitor.start(on: .cpu0)
    for loss in 1...7 {
      let module = try #require(try await monitor.show().module)
      bench.host.lose(module)
      try await monitor.until { $0.state == .running && $0.failovers == loss }
      bench.host.repair(module)
    }
    #expect(bench.host.violations.isEmpty)
  }

  @Test func anEndThatIsNoticedBeforeThatOfItsModuleDoesNotCount() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    try await monitor.define(Bench.definition())
    try await monitor.start(on: .cpu0)
    for loss in 1...7 {
      let module = try #require(try await monitor.show().module)
      bench.host.end("ftvs-guest-\(module.rawValue)@0.service", result: "signal")
      try await monitor.until { $0.state == .running && $0.failovers == loss }
      bench.host.lose(module)
      while await monitor.monitor.modules[module]?.state != .broken { await Task.yield() }
      bench.host.repair(module)
      while await monitor.monitor.modules[module]?.state != .online { await Task.yield() }
    }
  }

  @Test func onlyFailuresInsideTheWindowCount() {
    var policy = QuarantinePolicy()
    policy.failures = 3
    policy.window = .seconds(10)
    #expect(policy.counted([1000, 5000], at: 12_000) == [5000, 12_000])
    #expect(!policy.isExceeded(by: policy.counted([1000, 5000], at: 12_000)))
    #expect(policy.isExceeded(by: policy.counted([4000, 5000], at: 12_000)))
    // A clock that was set back.
    #expect(policy.counted([50_000, 60_000], at: 12_000) == [12_000])
    policy.failures = 0
    #expect(!policy.isExceeded(by: policy.counted([1, 2, 3, 4], at: 5)))
  }
}
