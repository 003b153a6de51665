import FoundationEssentials
import GRDB
import Primitives
import RPC
import ServiceAPI
import Testing

@testable import ControlState

/// What is refused, and what force and time do about it.
@Suite(.timeLimit(.minutes(1)))
struct RefusalTests {
  let fixture = Fixture()

  /// Both legs hold "a"; io0 alone holds "b".
  func runAlone() async throws {
    let state = try await fixture.open()
    try await state.add("a")
    try fixture.lose(.io1)
    try await state.add("b")
    await state.close()
  }

  @Test func `a stale leg does not start alone`() async throws {
    try await runAlone()
    try fixture.lose(.io0)
    try fixture.bringBack(.io1)
    let error = await #expect(throws: ControlStateError.self) { try await fixture.open() }
    guard case .staleLeg(.io1, let explanation)? = error else { return #expect(Bool(false)) }
    #expect(explanation.contains("ftctl call vm service.forceLeg '{\"leg\":\"io1\"}'"))
  }

  @Test func `a stale leg beside the right one is resynced`() async throws {
    try await runAlone()
    try fixture.bringBack(.io1)
    let state = try await fixture.open()
    #expect(await state.reaches(.inStep, .inStep))
    await state.close()
    try fixture.lose(.io0)
    let alone = try await fixture.open()
    #expect(try await alone.items() == ["a", "b"])
  }

  @Test func `force starts a stale leg, and the other is resynced from it with its database kept aside`() async throws {
    try await runAlone()
    try fixture.lose(.io0)
    try fixture.bringBack(.io1)
    let state = try await fixture.open { $0.force = .io1 }
    #expect(try await state.items() == ["a"])
    try await state.add("c")
    try fixture.bringBack(.io0)
    #expect(await state.reaches(.inStep, .inStep))
    await state.close()
    let files = try FileManager.default.contentsOfDirectory(atPath: fixture.leg(.io0) + "/vm")
    #expect(files.contains { $0.hasPrefix("state.sqlite.discarded-") })
    try fixture.lose(.io1)
    let alone = try await fixture.open()
    #expect(try await alone.items() == ["a", "c"])
  }

  @Test func `legs that went on separately are a split, and force ends it`() async throws {
    let state = try await fixture.open()
    try await state.add("a")
    await state.close()
    try fixture.lose(.io1)
    let first = try await fixture.open()
    try await first.add("b")
    await first.close()
    try FileManager.default.removeItem(atPath: fixture.witness)
    try fixture.lose(.io0)
    try fixture.bringBack(.io1)
    let second = try await fixture.open { $0.force = .io1 }
    try await second.add("c")
    await second.close()
    try fixture.bringBack(.io0)
    let error = await #expect(throws: ControlStateError.self) { try await fixture.open() }
    guard case .split? = error else { return #expect(Bool(false)) }
    let forced = try await fixture.open { $0.force = .io0 }
    #expect(try await forced.items() == ["a", "b"])
    #expect(await forced.reaches(.inStep, .inStep))
  }

  @Test func `what a force gave up is kept aside also when it comes back after a restart`() async throws {
    try await runAlone()
    try fixture.lose(.io0)
    try fixture.bringBack(.io1)
    let forced = try await fixture.open { $0.force = .io1 }
    try await forced.add("c")
    await forced.close()
    let state = try await fixture.open()
    try fixture.bringBack(.io0)
    #expect(await state.reaches(.inStep, .inStep))
    await state.close()
    let files = try FileManager.default.contentsOfDirectory(atPath: fixture.leg(.io0) + "/vm")
    #expect(files.contains { $0.hasPrefix("state.sqlite.discarded-") })
  }

  @Test func `a split leg that appears while the service runs is left untouched`() async throws {
    let state = try await fixture.open()
    await state.close()
    try fixture.lose(.io1)
    let first = try await fixture.open()
    try await first.add("b")
    await first.close()
    try FileManager.default.removeItem(atPath: fixture.witness)
    try fixture.lose(.io0)
    try fixture.bringBack(.io1)
    let second = try await fixture.open { $0.force = .io1 }
    try fixture.bringBack(.io0)
    for await legs in second.legChanges() where legs.first?.reason?.contains("separately") == true { break }
    await second.checkLegs()
    #expect(second.legs().map(\.state) == [.lost, .inStep])
    await second.close()
    let kept = try await fixture.open { $0.force = .io0 }
    #expect(try await kept.items() == ["b"])
  }

  @Test func `a leg of another host is refused and not overwritten`() async throws {
    let other = Fixture()
    let foreign = try await other.open()
    try await foreign.add("x")
    await foreign.close()
    let state = try await fixture.open()
    try fixture.lose(.io1)
    try await state.add("a")
    // It appears whole: half a directory is a blank leg.
    try FileManager.default.moveItem(atPath: other.leg(.io1), toPath: fixture.leg(.io1))
    for await legs in state.legChanges() where legs.last?.reason?.contains("another host") == true { break }
    await state.close()
    try fixture.lose(.io0)
    await #expect(throws: ControlStateError.self) { try await fixture.open() }
  }

  @Test func `one empty leg alone is not set up`() async throws {
    try fixture.lose(.io1)
    let error = await #expect(throws: ControlStateError.self) { try await fixture.open() }
    guard case .noLeg? = error else { return #expect(Bool(false)) }
  }

  @Test func `an empty leg beside one with data is filled`() async throws {
    let state = try await fixture.open()
    try await state.add("a")
    await state.close()
    try FileManager.default.removeItem(atPath: fixture.leg(.io0) + "/vm")
    let second = try await fixture.open()
    #expect(await second.reaches(.inStep, .inStep))
    await second.close()
    try fixture.lose(.io1)
    let alone = try await fixture.open()
    #expect(try await alone.items() == ["a"])
  }

  @Test func `a corrupt database is kept aside and its leg filled again`() async throws {
    let state = try await fixture.open()
    try await state.add("a")
    await state.close()
    let path = fixture.leg(.io0) + "/vm/state.sqlite"
    try Data(repeating: 0x5A, count: 8192).write(to: URL(filePath: path))
    let second = try await fixture.open()
    #expect(await second.reaches(.inStep, .inStep))
    #expect(try await second.items() == ["a"])
    let files = try FileManager.default.contentsOfDirectory(atPath: fixture.leg(.io0) + "/vm")
    #expect(files.contains { $0.hasPrefix("state.sqlite.damaged-") })
  }

  @Test func `a record of a leg that is not one is damage, not a trap`() async throws {
    let state = try await fixture.open()
    await state.close()
    let queue = try DatabaseQueue(path: fixture.leg(.io1) + "/vm/state.sqlite")
    try await queue.write { try $0.execute(sql: "UPDATE ftvs_state SET generation = x'00ff', sequence = 'many'") }
    try queue.close()
    let second = try await fixture.open()
    #expect(await second.reaches(.inStep, .inStep))
  }

  @Test func `a state of a newer version is refused`() async throws {
    let state = try await fixture.open()
    await state.close()
    let error = await #expect(throws: ControlStateError.self) { try await fixture.open { $0.migrations = [] } }
    guard case .newerSchema? = error else { return #expect(Bool(false)) }
  }

  @Test func `a shot leg is not touched at opening, and filled after its release`() async throws {
    let state = try await fixture.open()
    await state.close()
    fixture.shoot(.io0)
    let second = try await fixture.open()
    #expect(second.legs().map(\.state) == [.lost, .inStep])
    try await second.add("a")
    try fixture.release(.io0)
    #expect(await second.reaches(.inStep, .inStep))
  }
}
