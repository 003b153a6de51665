import Glibc
import GRDB
import Primitives
import RPC
import ServiceAPI
import Synchronization
import Testing

@testable import ControlState

/// Lets steps on a leg hang until it is told otherwise.
final class Hangs: Sendable {
  private let rule = Mutex<(LegID, LegStep)?>(nil)
  private let count = Mutex(0)

  /// Steps that hung so far.
  var seen: Int { count.withLock { $0 } }

  func hang(_ leg: LegID, at step: LegStep) { rule.withLock { $0 = (leg, step) } }
  func stop() { rule.withLock { $0 = nil } }

  private func isOn(_ leg: LegID, _ step: LegStep) -> Bool { rule.withLock { $0.map { $0 == (leg, step) } ?? false } }

  func pass(_ leg: LegID, _ step: LegStep) {
    guard isOn(leg, step) else { return }
    count.withLock { $0 += 1 }
    while isOn(leg, step) { usleep(1000) }
  }
}

/// A disk that hangs lets a call neither succeed nor fail.
@Suite(.timeLimit(.minutes(1)))
struct HangTests {
  let fixture = Fixture()
  let hangs = Hangs()

  func open(_ edit: (inout ControlState.Configuration) -> Void = { _ in }) async throws -> ControlState {
    try await fixture.open {
      $0.hook = { [hangs] in hangs.pass($0, $1) }
      $0.legAnswerBound = .milliseconds(1000)
      edit(&$0)
    }
  }

  @Test(arguments: LegID.allCases, [LegStep.begin, .statements, .commit, .committed])
  func `a leg that hangs at any step is dropped and the answer holds on the other`(_ leg: LegID, _ step: LegStep)
    async throws
  {
    let state = try await open()
    try await state.add("a")
    hangs.hang(leg, at: step)
    try await state.add("b")
    #expect(hangs.seen == 1)
    let lost = try #require(state.legs().first { $0.leg == leg })
    #expect(lost.state == .lost && lost.reason?.contains("did not answer within 1000 ms") == true)
    #expect(try await state.items() == ["a", "b"])
    try await state.add("c")
    // The other leg is enough, also for a start.
    let world = try fixture.crash()
    try world.lose(leg)
    let alone = try await world.open()
    #expect(try await alone.items() == ["a", "b", "c"])
    hangs.stop()
    await alone.close()
    await state.close()
  }

  @Test func `a leg that hangs is left alone until its call has ended, and is then brought into step`() async throws {
    let state = try await open()
    hangs.hang(.io0, at: .commit)
    try await state.add("a")
    for number in 0..<20 {
      try await state.add("\(number)")
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(state.legs().first?.state == .lost)
    #expect(hangs.seen == 1)
    hangs.stop()
    #expect(await state.reaches(.inStep, .inStep))
    let expected = try await state.items()
    await state.close()
    try fixture.lose(.io1)
    let alone = try await open()
    #expect(try await alone.items() == expected)
    #expect(try await alone.read { try String.fetchOne($0, sql: "PRAGMA integrity_check") } == "ok")
  }

  @Test func `a service starts from the other leg when one hangs`() async throws {
    let state = try await open()
    try await state.add("a")
    await state.close()
    hangs.hang(.io0, at: .begin)
    let started = ContinuousClock.now
    let again = try await open()
    #expect(ContinuousClock.now - started < .seconds(3))
    #expect(again.legs().map(\.state) == [.lost, .inStep])
    #expect(try await again.items() == ["a"])
    try await again.add("b")
    hangs.stop()
    #expect(await again.reaches(.inStep, .inStep))
  }

  @Test func `a leg that hangs again while it is copied to holds nobody up`() async throws {
    let state = try await open()
    try fixture.lose(.io1)
    try await state.add("a")
    hangs.hang(.io1, at: .copy)
    try fixture.bringBack(.io1)
    #expect(await state.reaches(.inStep, .resyncing))
    while hangs.seen == 0 { try await Task.sleep(for: .milliseconds(1)) }
    let started = ContinuousClock.now
    for number in 0..<10 { try await state.add("\(number)") }
    #expect(ContinuousClock.now - started < .seconds(5))
    hangs.stop()
    #expect(await state.reaches(.inStep, .inStep))
    await state.close()
    try fixture.lose(.io0)
    let alone = try await open()
    #expect(try await alone.items().count == 11)
  }

  @Test func `a leg that hangs when it follows ends its resync`() async throws {
    let (stream, gate) = AsyncStream.makeStream(of: Void.self)
    let state = try await open { $0.resyncData = { _, _ in for await _ in stream { break } } }
    try fixture.lose(.io1)
    try await state.add("a")
    try fixture.bringBack(.io1)
    for await legs in state.legChanges() where legs.last?.state == .resyncing { break }
    while hangs.seen == 0 {
      hangs.hang(.io1, at: .statements)
      try await state.add("b")
    }
    // It may hang in what it catches up with, beside the call that was just answered.
    #expect(await state.reaches(.inStep, .lost))
    hangs.stop()
    gate.finish()
    #expect(await state.reaches(.inStep, .inStep))
  }

  @Test func `both legs hang: nothing is answered, and all again when one is back`() async throws {
    let state = try await open()
    try await state.add("a")
    hangs.hang(.io0, at: .begin)
    try await state.add("b")
    hangs.hang(.io1, at: .begin)
    let error = await #expect(throws: RPCError.self) { try await state.add("c") }
    #expect(error?.matches(CommonFailure.stateUnavailable) == true)
    hangs.stop()
    #expect(await state.reaches(.inStep, .inStep))
    let items = try await state.items()
    #expect(items.prefix(2) == ["a", "b"])
  }

  @Test func `a state is closed although a leg hangs`() async throws {
    let state = try await open()
    hangs.hang(.io1, at: .commit)
    try await state.add("a")
    let started = ContinuousClock.now
    await state.close()
    #expect(ContinuousClock.now - started < .seconds(3))
    hangs.stop()
  }
}
