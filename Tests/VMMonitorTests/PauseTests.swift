import Foundation
import Primitives
import RPC
import Testing
import VMAPI

@testable import VMMonitorCore

@Suite(.timeLimit(.minutes(2))) struct PauseTests {
  private let name = VMName(unchecked: "a")
  private let unit = "ftvs-guest-cpu0@0.service"

  private func running(_ bench: Bench, xml: String = Bench.definition()) async throws -> RunningMonitor {
    let monitor = try await bench.monitor()
    try await monitor.define(xml)
    try await monitor.start(on: .cpu0)
    return monitor
  }

  private func pause(_ monitor: RunningMonitor) async throws -> VMSummary {
    try await monitor.client.call(PauseVM.self, .init(name: name))
  }

  private func resume(_ monitor: RunningMonitor) async throws -> VMSummary {
    try await monitor.client.call(ResumeVM.self, .init(name: name))
  }

  @Test func aPausedMachineStandsStillUntilItIsResumed() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    #expect(try await pause(monitor).state == .paused)
    #expect(bench.host.running.isEmpty)
    #expect(try await monitor.show().reason?.contains("ftctl vm resume a") == true)
    #expect(!bench.kinds().contains("vmPaused"), "that kind is for what nobody asked for")
    #expect(try await resume(monitor).state == .running)
    #expect(bench.host.running == [unit])
    let outages = try await monitor.availability().outages
    #expect(outages.map(\.planned) == [true] && outages[0].endMilliseconds != nil)
  }

  @Test func aPauseOutlivesTheMonitor() async throws {
    let bench = try Bench()
    let first = try await running(bench)
    _ = try await pause(first)
    await first.kill()
    let second = try await bench.monitor(on: .cpu1)
    try await second.until { $0.state == .paused && $0.processID != nil }
    #expect(bench.host.running.isEmpty)
    #expect(!second.life.calls.contains("resume \(unit)"))
    #expect(try await resume(second).state == .running)
  }

  @Test func aPauseCutOffAnywhereIsMadeOrUnmade() async throws {
    for step in 0..<32 {
      let bench = try Bench()
      let first = try await running(bench)
      first.life.end(after: step)
      await either({ _ = try? await pause(first) }, { await first.life.untilDead() })
      let isComplete = !first.life.isDead
      await first.kill()
      let second = try await bench.monitor(on: .cpu1)
      let summary = try await second.until { $0.processID != nil }
      #expect(bench.host.running.isEmpty == (summary.state == .paused), "cut off at step \(step)")
      #expect(bench.host.violations.isEmpty)
      await second.kill()
      if isComplete { return }
    }
    Issue.record("the pause never came to its end")
  }

  @Test func aPausedMachineWhoseModuleIsLostIsReadyOnTheOtherAndDoesNotRun() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    _ = try await pause(monitor)
    bench.host.lose(.cpu0)
    let summary = try await monitor.until { $0.failovers == 1 && $0.processID != nil }
    #expect(summary.state == .paused && summary.module == .cpu1)
    #expect(bench.host.running.isEmpty)
    #expect(try await resume(monitor).state == .running)
    #expect(bench.host.running == ["ftvs-guest-cpu1@0.service"])
    #expect(try await monitor.availability().outages.map(\.planned) == [true])
  }

  @Test func aPausedMachineIsLetGoOnToShutDown() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    _ = try await pause(monitor)
    _ = try await monitor.client.call(ShutDownVM.self, .init(name: name))
    try await monitor.until { $0.state == .defined }
    let calls = monitor.life.calls
    let last = try #require(calls.lastIndex(of: "powerDown \(unit)"))
    #expect(calls[..<last].last == "resume \(unit)")
  }

  @Test func aResetAndAnInterruptAndKeysReachTheGuestOncePerKey() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    let key = RequestKey.random(millisecondsSinceEpoch: Int64(Date().timeIntervalSince1970 * 1000))
    for _ in 0..<2 { _ = try await monitor.client.call(ResetVM.self, .init(name: name, requestKey: key)) }
    _ = try await monitor.client.call(InterruptVM.self, .init(name: name))
    _ = try await monitor.client.call(SendKeys.self, .init(name: name, keys: ["KEY_LEFTCTRL", "Alt", "delete"]))
    let process = try #require(bench.host.state.withLock { $0.processes[unit] })
    #expect(process.resets == 1)
    #expect(process.interrupts == 1)
    #expect(process.keys == [["ctrl", "alt", "delete"]])
    while !bench.kinds().contains("vmReset") { await Task.yield() }
  }

  @Test func aKeyThatIsNoneIsNamed() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    for keys in [["ctrl", "nonsense"], [], [String](repeating: "a", count: 17)] {
      let error = try await #require(throws: RPCError.self) {
        try await monitor.client.call(SendKeys.self, .init(name: name, keys: keys))
      }
      #expect(error.matches(CommonFailure.invalidParams) && error.data["member"] == "params.keys")
    }
  }

  @Test func aScreenshotIsAPictureWithItsSize() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    let picture = try await monitor.client.call(GetScreenshot.self, .init(name: name))
    #expect(picture.widthPixels == 640 && picture.heightPixels == 480)
    #expect(Data(base64Encoded: picture.data)?.prefix(4) == Data([0x89, 0x50, 0x4E, 0x47]))
    #expect(PNGSize([]) == nil)
    #expect(PNGSize([UInt8](repeating: 0, count: 24)) == nil)
  }

  @Test func whatAGuestDoesIsTold() async throws {
    let bench = try Bench()
    let monitor = try await running(bench)
    for weak in bench.host.state.withLock({ $0.instances[unit] ?? [] }) {
      for event in [EngineEvent.panicked, .watchdog("reset"), .askedToShutDown, .panicked] {
        weak.instance?.source.yield(event)
      }
      weak.instance?.source.yield(.paused(reason: "an I/O error on disk0"))
    }
    try await monitor.until { $0.state == .paused }
    let kinds = bench.kinds().suffix(4)
    #expect(kinds == ["vmPanicked", "vmWatchdog", "vmAskedToShutDown", "vmPaused"], "and each only once in a while")
  }
}
