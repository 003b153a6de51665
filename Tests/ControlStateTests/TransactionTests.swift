import ControlState
import GRDB
import Primitives
import RPC
import ServiceAPI
import Testing

@Suite(.timeLimit(.minutes(1)))
struct TransactionTests {
  @Test func `what was written is read back after closing and opening`() async throws {
    let fixture = Fixture()
    let first = try await fixture.open()
    try await first.add("a")
    await first.close()
    let second = try await fixture.open()
    #expect(try await second.items() == ["a"])
    #expect(second.legs().map(\.state) == [.inStep, .inStep])
  }

  @Test func `each opening raises the epoch`() async throws {
    let fixture = Fixture()
    let first = try await fixture.open()
    #expect(first.epoch == 1)
    await first.close()
    let second = try await fixture.open()
    #expect(second.epoch == 2)
  }

  @Test func `a body that throws leaves nothing`() async throws {
    let fixture = Fixture()
    let state = try await fixture.open()
    await #expect(throws: RPCError.self) {
      try await state.write { transaction in
        try transaction.execute("INSERT INTO item (text) VALUES ('x')")
        throw RPCError(CommonFailure.limitExceeded, "no")
      }
    }
    #expect(try await state.items() == [])
  }

  @Test func `a leg whose directory is moved away is dropped and taken back`() async throws {
    let fixture = Fixture()
    let state = try await fixture.open()
    try await state.add("a")
    try fixture.lose(.io0)
    try await state.add("b")
    #expect(state.legs().map(\.state) == [.lost, .inStep])
    try fixture.bringBack(.io0)
    #expect(await state.reaches(.inStep, .inStep))
    try await state.add("c")
    await state.close()
    try fixture.lose(.io1)
    let alone = try await fixture.open()
    #expect(try await alone.items() == ["a", "b", "c"])
  }
}
