import FoundationEssentials
import GRDB
import Primitives
import RPC
import ServiceAPI
import Synchronization
import Testing

@testable import ControlState

/// Fails steps on legs while it is told to.
final class Faults: Sendable {
  let rules = Mutex<[LegID: (LegStep, ResultCode)]>([:])

  func fail(_ leg: LegID, at step: LegStep, _ code: ResultCode = .SQLITE_IOERR) {
    rules.withLock { $0[leg] = (step, code) }
  }

  func stop() { rules.withLock { $0 = [:] } }

  func check(_ leg: LegID, _ step: LegStep) throws {
    let code = rules.withLock { rules in rules[leg].flatMap { $0.0 == step ? $0.1 : nil } }
    if let code { throw DatabaseError(resultCode: code, message: "injected") }
  }
}

@Suite(.timeLimit(.minutes(1)))
struct FaultTests {
  let fixture = Fixture()
  let faults = Faults()

  func open(_ edit: (inout ControlState.Configuration) -> Void = { _ in }) async throws -> ControlState {
    try await fixture.open {
      $0.hook = { [faults] in try faults.check($0, $1) }
      $0.retryDelay = .seconds(3600)
      $0.retryLimit = .seconds(3600)
      edit(&$0)
    }
  }

  @Test(arguments: LegID.allCases, [LegStep.begin, .statements, .commit, .committed])
  func `a leg that fails at any step is dropped and the answer holds on the other`(_ leg: LegID, _ step: LegStep)
    async throws
  {
    let state = try await open()
    try await state.add("a")
    faults.fail(leg, at: step)
    try await state.add("b")
    faults.stop()
    #expect(state.legs().first { $0.leg == leg }?.state == .lost)
    #expect(try await state.items() == ["a", "b"])
    await state.close()
    try fixture.lose(leg)
    let alone = try await open()
    #expect(try await alone.items() == ["a", "b"])
    await alone.close()
    try fixture.bringBack(leg)
    try fixture.lose(leg.other)
    await #expect(throws: ControlStateError.self) { try await open() }
  }

  @Test func `a full disk on one leg drops it`() async throws {
    let state = try await open()
    faults.fail(.io0, at: .statements, .SQLITE_FULL)
    try await state.add("a")
    #expect(state.legs().map(\.state) == [.lost, .inStep])
  }

  @Test(arguments: [LegStep.statements, .commit])
  func `a full disk on both legs refuses the change and drops neither`(_ step: LegStep) async throws {
    let state = try await open()
    try await state.add("a")
    for leg in LegID.allCases { faults.fail(leg, at: step, .SQLITE_FULL) }
    let error = await #expect(throws: RPCError.self) { try await state.add("b") }
    #expect(error?.matches(CommonFailure.stateUnavailable) == true)
    #expect(error?.message.contains("Free space") == true)
    #expect(state.legs().map(\.state) == [.inStep, .inStep])
    #expect(try await state.items() == ["a"])
    faults.stop()
    try await state.add("c")
    #expect(try await state.items() == ["a", "c"])
    await state.close()
    try fixture.lose(.io0)
    let alone = try await open()
    #expect(try await alone.items() == ["a", "c"])
  }

  @Test func `nothing is answered while both legs fail, and all again when they are back`() async throws {
    let state = try await open()
    try await state.add("a")
    try fixture.lose(.io0)
    try fixture.lose(.io1)
    let error = await #expect(throws: RPCError.self) { try await state.add("b") }
    #expect(error?.matches(CommonFailure.stateUnavailable) == true)
    await #expect(throws: RPCError.self) { try await state.items() }
    try fixture.bringBack(.io0)
    try fixture.bringBack(.io1)
    #expect(await state.reaches(.inStep, .inStep))
    #expect(try await state.items() == ["a"])
    try await state.add("c")
  }

  @Test func `no answer before the witness knows that a leg misses it`() async throws {
    let state = try await open()
    try FileManager.default.moveItem(atPath: fixture.root + "/local", toPath: fixture.root + "/hidden")
    _ = FileManager.default.createFile(atPath: fixture.root + "/local", contents: Data())
    faults.fail(.io1, at: .commit)
    await #expect(throws: RPCError.self) { try await state.add("a") }
    await #expect(throws: RPCError.self) { try await state.items() }
    faults.stop()
    try FileManager.default.removeItem(atPath: fixture.root + "/local")
    try FileManager.default.moveItem(atPath: fixture.root + "/hidden", toPath: fixture.root + "/local")
    try await state.add("b")
    #expect(try await state.items() == ["a", "b"])
  }

  @Test func `a leg that failed with an error is tried again after a while`() async throws {
    let state = try await open {
      $0.retryDelay = .milliseconds(20)
    }
    faults.fail(.io1, at: .commit)
    try await state.add("a")
    faults.stop()
    #expect(await state.reaches(.inStep, .inStep))
  }

  @Test func `a shot mark drops a leg without a write`() async throws {
    let state = try await open()
    fixture.shoot(.io1)
    for await legs in state.legChanges() where legs.last?.state == .lost { break }
    #expect(state.legs().last?.reason?.contains("shot") == true)
    try fixture.release(.io1)
    #expect(await state.reaches(.inStep, .inStep))
  }

  @Test func `a removed database file drops its leg`() async throws {
    let state = try await open()
    try FileManager.default.removeItem(atPath: fixture.leg(.io1) + "/vm/state.sqlite")
    try await state.add("a")
    #expect(await state.reaches(.inStep, .inStep))
    await state.close()
    try fixture.lose(.io0)
    let alone = try await open()
    #expect(try await alone.items() == ["a"])
  }

  @Test func `a leg dropped by its user is on record when that returns`() async throws {
    let state = try await open()
    try await state.dropLeg(.io0, reason: "data failed")
    let world = try fixture.crash()
    try world.lose(.io1)
    await #expect(throws: ControlStateError.self) { try await world.open() }
    #expect(state.legs().first?.reason == "data failed")
    await #expect(throws: RPCError.self) { try await state.dropLeg(.io1, reason: "too") }
  }

  @Test func `a change that goes past the transaction is refused`() async throws {
    let state = try await open()
    let error = await #expect(throws: RPCError.self) {
      try await state.write { try $0.database.execute(sql: "INSERT INTO item (text) VALUES ('x')") }
    }
    #expect(error?.matches(CommonFailure.internalError) == true)
    #expect(try await state.items() == [])
  }

  @Test func `a statement that differs between the legs drops the second`() async throws {
    let state = try await open()
    await state.close()
    let queue = try DatabaseQueue(path: fixture.leg(.io1) + "/vm/state.sqlite")
    try await queue.write { try $0.execute(sql: "INSERT INTO item (text) VALUES ('odd')") }
    try queue.close()
    let second = try await open()
    try await second.add("a")
    #expect(second.legs().map(\.state) == [.inStep, .lost])
  }

  @Test func `a crash between the two commits leaves legs that are brought level without a copy`() async throws {
    let world = Mutex<Fixture?>(nil)
    let isArmed = Mutex(false)
    let state = try await fixture.open {
      $0.hook = { [fixture] leg, step in
        guard leg == .io0, step == .committed, isArmed.withLock({ $0 }) else { return }
        let copy = try fixture.crash()
        world.withLock { $0 = copy }
      }
    }
    try await state.add("a")
    isArmed.withLock { $0 = true }
    try await state.write { transaction in
      try transaction.execute(
        "INSERT INTO item (id, text) VALUES (?, ?), (?, CAST(? AS TEXT)), (?, coalesce(?, 'n'))",
        [7, "b", 8, Data([0x63]), 9, nil])
    }
    isArmed.withLock { $0 = false }
    let crashed = try #require(world.withLock { $0 })
    let after = try await crashed.open()
    #expect(after.legs().map(\.state) == [.inStep, .inStep])
    await after.close()
    try crashed.lose(.io0)
    let alone = try await crashed.open()
    #expect(try await alone.items() == ["a", "b", "c", "n"])
  }
}
