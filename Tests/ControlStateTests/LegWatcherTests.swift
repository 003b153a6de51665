import FoundationEssentials
import Glibc
import Primitives
import ServiceAPI
import Testing

@testable import ControlState

/// What is told of legs that change under a state that does nothing.
@Suite(.timeLimit(.minutes(1)))
struct LegWatcherTests {
  let fixture = Fixture()

  @Test func `a leg that vanishes under an idle state is noticed`() async throws {
    let state = try await fixture.open()
    #expect(await state.reaches(.inStep, .inStep))
    try fixture.lose(.io1)
    #expect(await state.reaches(.inStep, .lost))
    await state.close()
  }

  @Test func `a shot mark under an idle state is noticed`() async throws {
    let state = try await fixture.open()
    #expect(await state.reaches(.inStep, .inStep))
    fixture.shoot(.io0)
    #expect(await state.reaches(.lost, .inStep))
    await state.close()
  }

  @Test func `a database that is removed under an idle state is noticed`() async throws {
    let state = try await fixture.open()
    #expect(await state.reaches(.inStep, .inStep))
    #expect(unlink(fixture.leg(.io0) + "/vm/" + LegDatabase.fileName) == 0)
    #expect(await state.reaches(.lost, .inStep))
    await state.close()
  }

  @Test func `a leg is back soon after it was lost`() async throws {
    let state = try await fixture.open()
    #expect(await state.reaches(.inStep, .inStep))
    for _ in 0..<3 {
      try fixture.lose(.io0)
      #expect(await state.reaches(.lost, .inStep))
      try fixture.bringBack(.io0)
      #expect(await state.reaches(.inStep, .inStep))
    }
    await state.close()
  }
}
