import FoundationEssentials
import Primitives
import RPC
import ServiceAPI
import Synchronization
import Testing

@testable import ControlState

@Suite(.timeLimit(.minutes(1)))
struct ResyncTests {
  let fixture = Fixture()

  @Test func `writes go on while a leg is copied, and all are on it`() async throws {
    let state = try await fixture.open()
    let text = String(repeating: "x", count: 100_000)
    for _ in 0..<100 { try await state.add(text) }
    try fixture.lose(.io1)
    try await state.add("first")
    try fixture.bringBack(.io1)
    var written = 0
    while state.legs().last?.state != .inStep {
      try await state.add("more")
      written += 1
    }
    await state.close()
    try fixture.lose(.io0)
    let alone = try await fixture.open()
    #expect(try await alone.items().count == 101 + written)
    #expect(try await alone.read { try String.fetchOne($0, sql: "PRAGMA integrity_check") } == "ok")
  }

  @Test func `the service's data is copied before a leg counts as in step`() async throws {
    let (stream, gate) = AsyncStream.makeStream(of: Void.self)
    let state = try await fixture.open {
      $0.resyncData = { leg, progress in
        #expect(leg == .io1)
        progress(5, 10)
        for await _ in stream { break }
      }
    }
    try fixture.lose(.io1)
    try await state.add("a")
    try fixture.bringBack(.io1)
    for await legs in state.legChanges() where legs.last?.doneBytes == 5 && legs.last?.totalBytes == 10 { break }
    #expect(state.legs().last?.state == .resyncing)
    try await state.add("b")
    let crashed = try fixture.crash()
    gate.yield()
    #expect(await state.reaches(.inStep, .inStep))
    await state.close()
    try crashed.lose(.io0)
    await #expect(throws: ControlStateError.self) { try await crashed.open() }
    await #expect(throws: ControlStateError.self) { try await crashed.open { $0.force = .io1 } }
    try fixture.lose(.io0)
    let alone = try await fixture.open()
    #expect(try await alone.items() == ["a", "b"])
  }

  @Test func `a data copy that fails leaves the leg lost with the reason, and is tried again`() async throws {
    let tries = Mutex(0)
    let state = try await fixture.open {
      $0.resyncData = { _, _ in
        let number = tries.withLock { tries in
          tries += 1
          return tries
        }
        if number < 3 { throw RPCError(CommonFailure.internalError, "copy failed") }
      }
    }
    try fixture.lose(.io1)
    try await state.add("a")
    try fixture.bringBack(.io1)
    #expect(await state.reaches(.inStep, .inStep))
    #expect(tries.withLock { $0 } == 3)
  }

  @Test func `a leg lost during its resync is given up and taken back later`() async throws {
    let (stream, gate) = AsyncStream.makeStream(of: Void.self)
    let state = try await fixture.open { $0.resyncData = { _, _ in for await _ in stream { break } } }
    try fixture.lose(.io1)
    try await state.add("a")
    try fixture.bringBack(.io1)
    #expect(await state.reaches(.inStep, .resyncing))
    try fixture.lose(.io1)
    try await state.add("b")
    #expect(await state.reaches(.inStep, .lost))
    gate.finish()
    try fixture.bringBack(.io1)
    #expect(await state.reaches(.inStep, .inStep))
    #expect(try await state.items() == ["a", "b"])
  }

  @Test func `the survivor's loss during a resync leaves nothing that starts by mistake`() async throws {
    let (stream, _) = AsyncStream.makeStream(of: Void.self)
    let state = try await fixture.open { $0.resyncData = { _, _ in for await _ in stream { break } } }
    try fixture.lose(.io1)
    try await state.add("a")
    try fixture.bringBack(.io1)
    #expect(await state.reaches(.inStep, .resyncing))
    try fixture.lose(.io0)
    await #expect(throws: RPCError.self) { try await state.add("b") }
    await state.close()
    await #expect(throws: ControlStateError.self) { try await fixture.open() }
    try fixture.bringBack(.io0)
    let again = try await fixture.open()
    #expect(try await again.items() == ["a"])
  }
}
