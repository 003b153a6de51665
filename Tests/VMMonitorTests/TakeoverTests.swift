import Primitives
import RPC
import Testing
import VMAPI

/// The monitor is killed before every call that it makes to the outside; the next one must make it good.
@Suite(.timeLimit(.minutes(5))) struct TakeoverTests {
  private let name = VMName(unchecked: "a")

  @Test func aRunningGuestIsAdoptedUntouched() async throws {
    let bench = try Bench()
    let first = try await bench.monitor()
    try await first.define(Bench.definition())
    try await first.start()
    await first.kill()
    let second = try await bench.monitor(on: .cpu1)
    try await second.until { $0.state == .running && $0.processID != nil }
    #expect(bench.host.running == ["ftvs-guest-cpu0@0.service"])
    #expect(try await second.show().failovers == 0)
    #expect(try await second.availability().outages.isEmpty)
    #expect(!second.life.calls.contains { $0.hasPrefix("kill") || $0.hasPrefix("stop") })
  }

  @Test func aGuestThatShutItselfDownUnwatchedStaysDown() async throws {
    let bench = try Bench()
    let first = try await bench.monitor()
    try await first.define(Bench.definition())
    try await first.start()
    await first.kill()
    bench.host.end("ftvs-guest-cpu0@0.service", result: "success", inOrder: true)
    let second = try await bench.monitor(on: .cpu1)
    try await second.until { $0.state == .defined }
    #expect(bench.host.running.isEmpty)
  }

  @Test func aGuestThatNoLongerAnswersIsReplaced() async throws {
    let bench = try Bench()
    let first = try await bench.monitor()
    try await first.define(Bench.definition())
    try await first.start()
    await first.kill()
    bench.host.state.withLock { $0.processes["ftvs-guest-cpu0@0.service"]?.isAnswering = false }
    let second = try await bench.monitor(on: .cpu1)
    try await second.until { $0.state == .running && $0.failovers == 1 }
    #expect(bench.host.running.count == 1)
    #expect(bench.host.violations.isEmpty)
  }

  @Test func afterAStartOfTheHostWhatRanRunsAgain() async throws {
    let bench = try Bench()
    let first = try await bench.monitor()
    try await first.define(Bench.definition())
    try await first.start()
    await first.kill()
    bench.host.end("ftvs-guest-cpu0@0.service", result: "success", inOrder: true)
    bench.boot.withLock { $0 = "boot 2" }
    let second = try await bench.monitor()
    try await second.until { $0.state == .running }
    #expect(bench.host.running.count == 1)
    #expect(try await second.availability().outages.map(\.planned) == [false])
  }

  @Test func aStartCutOffAnywhereLeavesOneGuestOrNone() async throws {
    for step in 0..<64 {
      let bench = try Bench()
      let first = try await bench.monitor()
      try await first.define(Bench.definition())
      first.life.end(after: step)
      await either({ _ = try? await first.start() }, { await first.life.untilDead() })
      let isComplete = !first.life.isDead
      await first.kill()
      let second = try await bench.monitor(on: .cpu1)
      #expect(try await second.start().state == .running, "cut off at step \(step)")
      try await second.until { $0.state == .running && $0.processID != nil }
      #expect(bench.host.running.count == 1, "cut off at step \(step)")
      #expect(bench.host.violations.isEmpty, "cut off at step \(step)")
      await second.kill()
      if isComplete { return }
    }
    Issue.record("the start never came to its end")
  }

  @Test func aRecoveryCutOffAnywhereIsFinished() async throws {
    for step in 0..<64 {
      let bench = try Bench()
      let first = try await bench.monitor()
      try await first.define(Bench.definition())
      try await first.start(on: .cpu0)
      first.life.end(after: step)
      bench.host.lose(.cpu0)
      await either(
        { _ = try? await first.until { $0.state == .running && $0.failovers == 1 && $0.processID != nil } },
        { await first.life.untilDead() })
      let isComplete = !first.life.isDead
      await first.kill()
      let second = try await bench.monitor(on: .cpu1)
      try await second.until { $0.state == .running && $0.failovers == 1 && $0.processID != nil }
      #expect(bench.host.running == ["ftvs-guest-cpu1@0.service"], "cut off at step \(step)")
      #expect(bench.host.violations.isEmpty, "cut off at step \(step): \(bench.host.violations)")
      let outages = try await second.availability().outages
      #expect(outages.count == 1 && outages[0].endMilliseconds != nil, "cut off at step \(step)")
      await second.kill()
      if isComplete { return }
    }
    Issue.record("the recovery never came to its end")
  }

  @Test func aKillCutOffAnywhereLeavesNothingWhenRepeated() async throws {
    for step in 0..<64 {
      let bench = try Bench()
      let first = try await bench.monitor()
      try await first.define(Bench.definition())
      try await first.start()
      first.life.end(after: step)
      await either(
        { _ = try? await first.client.call(KillVM.self, .init(name: name)) }, { await first.life.untilDead() })
      let isComplete = !first.life.isDead
      await first.kill()
      let second = try await bench.monitor(on: .cpu1)
      _ = try await second.client.call(KillVM.self, .init(name: name))
      #expect(try await second.show().state == .defined, "cut off at step \(step)")
      #expect(bench.host.running.isEmpty, "cut off at step \(step)")
      #expect(bench.host.violations.isEmpty, "cut off at step \(step)")
      await second.kill()
      if isComplete { return }
    }
    Issue.record("the kill never came to its end")
  }

  @Test func aShutdownCutOffAnywhereIsFinished() async throws {
    for step in 0..<64 {
      let bench = try Bench()
      let first = try await bench.monitor()
      try await first.define(Bench.definition())
      try await first.start()
      first.life.end(after: step)
      await either(
        {
          _ = try? await first.client.call(ShutDownVM.self, .init(name: name))
          _ = try? await first.until { $0.state == .defined }
        }, { await first.life.untilDead() })
      let isComplete = !first.life.isDead
      await first.kill()
      let second = try await bench.monitor(on: .cpu1)
      try await second.until { $0.state == .defined }
      #expect(bench.host.running.isEmpty, "cut off at step \(step)")
      #expect(bench.host.violations.isEmpty, "cut off at step \(step)")
      await second.kill()
      if isComplete { return }
    }
    Issue.record("the shutdown never came to its end")
  }
}
