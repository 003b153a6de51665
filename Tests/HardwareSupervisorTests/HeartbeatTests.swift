import HardwareAPI
import Primitives
import RPC
import Synchronization
import Testing

@testable import HardwareSupervisorCore

@Suite struct HeartbeatTests {
  let heartbeats = Heartbeats()
  let agent = GenerationID.random()

  @Test func onlyAnAttachedAgentIsHeard() {
    #expect(!heartbeats.note(.cpu0, agent, at: 1))
    heartbeats.begin(.cpu0, agent, at: 2)
    #expect(heartbeats.note(.cpu0, agent, at: 3) && !heartbeats.note(.cpu0, .random(), at: 4))
    heartbeats.end(.cpu0)
    #expect(!heartbeats.note(.cpu0, agent, at: 5))
    #expect(heartbeats[.cpu0]?.last == 3 && heartbeats[.cpu0]?.count == 1)
  }

  @Test func aLookIsDueAsSoonAsOneAgentHasMissedItsBound() {
    heartbeats.begin(.cpu0, agent, at: 0)
    heartbeats.begin(.cpu1, agent, at: 30)
    heartbeats.becomeCalm()
    #expect(heartbeats.calm(bound: 100, at: 40) == 60)
    #expect(heartbeats.note(.cpu0, agent, at: 50))
    #expect(heartbeats.calm(bound: 100, at: 50) == 80)
    #expect(heartbeats.calm(bound: 100, at: 130) == 0)
    #expect(heartbeats.calm(bound: 100, at: 131) == 0)
  }

  @Test func aLookIsDueAtOnceWhereSomethingElseHappened() {
    heartbeats.begin(.cpu0, agent, at: 0)
    #expect(heartbeats.calm(bound: 100, at: 1) == 0)
    heartbeats.becomeCalm()
    #expect(heartbeats.calm(bound: 100, at: 1) == 99)
    heartbeats.disturb()
    #expect(heartbeats.calm(bound: 100, at: 1) == 0)
    heartbeats.becomeCalm()
    heartbeats.end(.cpu0)
    #expect(heartbeats.calm(bound: 100, at: 1) == 0)
  }

  @Test func aTimeInWhichNothingCouldBeReadIsNoSilence() {
    heartbeats.begin(.cpu0, agent, at: 0)
    heartbeats.excuse(50, until: 60)
    #expect(heartbeats[.cpu0]?.last == 50)
    heartbeats.excuse(50, until: 60)
    #expect(heartbeats[.cpu0]?.last == 60)
  }
}

@Suite struct BeatOnTheWireTests {
  private let usual: JSONValue = [
    "module": "cpu1", "incarnation": "0123456789abcdef0123456789abcdef", "sequence": 7,
  ]

  private func changed(_ name: String, _ value: JSONValue?) -> JSONValue {
    guard case .object(var object) = usual else { return .null }
    object[name] = value
    return .object(object)
  }

  private func read(_ json: JSONValue) throws(RPCError) -> SendHeartbeat.Params {
    try WireCoder.decode(SendHeartbeat.Params.self, from: json, unknownMembers: .refuse)
  }

  @Test func theUsualBeatIsReadWithoutTheCoder() throws {
    let beat = try #require(SendHeartbeat.Params.usual(usual))
    #expect(try read(usual) == beat && WireCoder.encode(beat) == usual)
    #expect(beat.module == .cpu1 && beat.sequence == 7 && beat.isLast == nil)
  }

  @Test func aLastBeatIsReadByTheCoder() throws {
    let last = changed("isLast", true)
    #expect(SendHeartbeat.Params.usual(last) == nil)
    #expect(try read(last).isLast == true)
  }

  @Test(arguments: ["module", "incarnation", "sequence"])
  func whatIsWrongIsSaidByTheCoder(_ member: String) throws {
    for json in [changed(member, nil), changed(member, ["x"]), changed(member, "x"), changed("more", 1)] {
      #expect(SendHeartbeat.Params.usual(json) == nil)
      #expect(throws: RPCError.self) { try read(json) }
    }
  }
}

@MainActor @Suite struct SilenceTests {
  /// Beats come every 5 ms; the last of them is at most that old when the silence begins.
  @Test(arguments: [ModuleID.cpu0, .cpu1])
  func silenceAfterALongCalmIsFoundWithinTheBound(_ module: ModuleID) async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    try await host.pass(milliseconds: 3_000)
    host.silent = [module]
    try await host.pass(milliseconds: 90)
    #expect(await host.state(module) == .online)
    try await host.until("failed", within: 20) { await $0.state(module) != .online }
    #expect(host.alerts.all.last { $0.kind == "moduleFailed" }?.data["cause"] == "heartbeatMissed")
    host.silent = []
    try await host.becomesDuplex()
    await host.remove()
  }

  @Test func anAgentThatStaysAwayAfterALongCalmIsFound() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    try await host.pass(milliseconds: 1_000)
    await host.endAgent(.cpu1)
    try await host.until("not running", within: 5_300) { await $0.state(.cpu1) != .online }
    #expect(host.alerts.all.last { $0.kind == "moduleFailed" }?.data["cause"] == "agentNotRunning")
    await host.remove()
  }
}

@Suite(.timeLimit(.minutes(1))) struct AlarmTests {
  private let clock = SystemHostClock()

  @Test func aSleepEndsNotBeforeItsTime() async {
    let begin = clock.nanoseconds
    let due = await clock.sleep(nanoseconds: 20_000_000) { 0 }
    #expect(due >= begin + 20_000_000 && clock.nanoseconds >= due)
  }

  @Test func aSleepIsPutOffForAsLongAsItIsTold() async {
    let extra = Extra(times: 3, nanoseconds: 10_000_000)
    let begin = clock.nanoseconds
    let due = await clock.sleep(nanoseconds: 5_000_000) { extra.next() }
    #expect(due >= begin + 35_000_000 && clock.nanoseconds >= due)
  }

  @Test func sleepersWakeInTheOrderOfTheirTimes() async {
    let woken = await withTaskGroup(of: Int64.self) { [clock] group in
      for milliseconds: Int64 in [120, 10, 60] {
        group.addTask {
          _ = await clock.sleep(nanoseconds: milliseconds * 1_000_000) { 0 }
          return milliseconds
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(woken == [10, 60, 120])
  }

  @Test func aTaskThatIsCancelledWakes() async {
    let task = Task { await clock.sleep(nanoseconds: 3_600_000_000_000) { 0 } }
    task.cancel()
    _ = await task.value
  }
}

/// A time that is given so many times.
private final class Extra: Sendable {
  private let left: Mutex<Int>
  private let nanoseconds: Int64

  init(times: Int, nanoseconds: Int64) {
    left = Mutex(times)
    self.nanoseconds = nanoseconds
  }

  func next() -> Int64 {
    left.withLock { left in
      left -= 1
      return left >= 0 ? nanoseconds : 0
    }
  }
}
