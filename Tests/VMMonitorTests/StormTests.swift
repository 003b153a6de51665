import Foundation
import Primitives
import RPC
import Testing
import VMAPI

@testable import VMMonitorCore

/// Many machines at once.
@Suite(.timeLimit(.minutes(3))) struct StormTests {
  /// Machines: 64, a full host, with `FTVS_FULL_HOST`.
  private static let count = ProcessInfo.processInfo.environment["FTVS_FULL_HOST"] == nil ? 20 : 64

  private func definition(_ number: Int) -> String {
    let metadata = """
      <metadata><f:vm xmlns:f='urn:ftvs:domain:1'><f:restart priority='\(number * 10)'/></f:vm></metadata>
      """
    return Bench.definition("vm\(number)").replacingOccurrences(
      of: "<metadata><f:protection xmlns:f='urn:ftvs:domain:1' level='restart'/></metadata>", with: metadata)
  }

  @Test func theMostUrgentComeFirstAndFewAtOnceWhenAModuleIsLost() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor(on: .cpu1)
    for number in 0..<Self.count {
      try await monitor.define(definition(number))
      try await monitor.start("vm\(number)", on: .cpu0)
    }
    let atOnce = MonitorTiming().startsAtOnce
    let before = monitor.life.calls.count
    bench.host.lose(.cpu0)
    for number in 0..<Self.count {
      try await monitor.until("vm\(number)") { $0.state == .running && $0.failovers == 1 }
    }
    #expect(bench.host.running.count == Self.count)
    #expect(bench.host.violations.isEmpty)
    let starts = monitor.life.calls[before...].filter { $0.hasPrefix("start ") }
    // The slot is the order of definition, and the higher the number the more urgent.
    let order = starts.compactMap { call in
      call.split(separator: "@").last?.split(separator: ".").first.flatMap { Int(String($0)) }
    }
    #expect(order.count == Self.count)
    // The first find free places, whoever is noticed first. After them, those that are under way at once overtake each other
    // by no more than their number.
    let rest = order.dropFirst(2 * atOnce)
    for (place, number) in zip(rest, rest.sorted(by: >)).enumerated() {
      #expect(abs(number.0 - number.1) <= 2 * atOnce, "vm\(number.0) came as number \(place)")
    }
    #expect(bench.host.state.withLock { $0.mostStarting } <= atOnce)
  }

  /// Eight machines on a module that is lost while storage does not answer: four wait for their turn.
  private func stuck(_ bench: Bench) async throws -> RunningMonitor {
    let monitor = try await bench.monitor(on: .cpu1)
    for number in 0..<8 {
      try await monitor.define(definition(number))
      try await monitor.start("vm\(number)", on: .cpu0)
    }
    // None comes up before storage is back.
    bench.host.state.withLock { $0.isStorageHanging = true }
    bench.host.lose(.cpu0)
    return monitor
  }

  private func expectOthers(than name: VMName, _ bench: Bench, _ monitor: RunningMonitor) async throws {
    for number in 0..<8 where name.rawValue != "vm\(number)" {
      try await monitor.until("vm\(number)") { $0.state == .running && $0.failovers == 1 }
    }
    #expect(bench.host.running.count == 7)
  }

  @Test func oneThatWaitsForItsTurnCanBeKilled() async throws {
    let bench = try Bench()
    let monitor = try await stuck(bench)
    while await monitor.monitor.starts.waiting.count < 4 { try await Task.sleep(for: .milliseconds(2)) }
    let name = try #require(await monitor.monitor.starts.waiting.first)
    let summary = try await monitor.client.call(KillVM.self, .init(name: name))
    #expect(summary.state == .defined)
    bench.host.state.withLock { $0.isStorageHanging = false }
    try await expectOthers(than: name, bench, monitor)
  }

  @Test func oneCanBeKilledAsSoonAsItIsSeenToWait() async throws {
    let bench = try Bench()
    let monitor = try await stuck(bench)
    let name = VMName(unchecked: "vm0")
    try await monitor.until("vm0") { $0.state == .failedOver }
    // Where it has a place already it ends when storage answers.
    async let killed = monitor.client.call(KillVM.self, .init(name: name))
    try await Task.sleep(for: .milliseconds(50))
    bench.host.state.withLock { $0.isStorageHanging = false }
    #expect(try await killed.state == .defined)
    try await expectOthers(than: name, bench, monitor)
  }
}
