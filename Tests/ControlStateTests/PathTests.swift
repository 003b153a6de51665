import FoundationEssentials
import Primitives
import RPC
import ServiceAPI
import Testing

@testable import ControlState

/// Legs that are reached by two paths: their directories, and symbolic links to them.
@Suite(.timeLimit(.minutes(1))) struct PathTests {
  let fixture = Fixture()

  init() throws {
    for leg in LegID.allCases {
      try FileManager.default.createSymbolicLink(
        atPath: fixture.leg(leg) + "-second", withDestinationPath: fixture.leg(leg))
    }
  }

  private func mark(_ leg: LegID, _ path: Int) -> String { "\(fixture.root)/shot/\(leg).\(path)" }

  private func cut(_ leg: LegID, _ path: Int) {
    _ = FileManager.default.createFile(atPath: mark(leg, path), contents: nil)
  }

  private func restore(_ leg: LegID, _ path: Int) throws { try FileManager.default.removeItem(atPath: mark(leg, path)) }

  private func open() async throws -> ControlState {
    try await fixture.open { configuration in
      for leg in LegID.allCases {
        configuration.secondDirectories[leg] = fixture.leg(leg) + "-second/vm"
        configuration.pathMarks[leg] = [mark(leg, 0), mark(leg, 1)]
      }
    }
  }

  @Test(arguments: LegID.allCases)
  func `the loss of a path loses no leg, and changes go on by the other one`(_ leg: LegID) async throws {
    let state = try await open()
    try await state.add("a")
    for path in [0, 1, 0] {
      cut(leg, path)
      try await state.add("by the other path")
      #expect(state.legs().allSatisfy { $0.state == .inStep })
      try restore(leg, path)
      try await state.add("by either")
    }
    cut(leg, 0)
    await state.close()
    let next = try await open()
    #expect(try await next.items().count == 7)
    #expect(next.legs().allSatisfy { $0.state == .inStep })
    await next.close()
    // The other leg alone must not be needed to know what was changed meanwhile.
    try fixture.lose(leg.other)
    let alone = try await open()
    #expect(try await alone.items().count == 7)
    await alone.close()
  }

  @Test func `a leg without a path is lost, and is back with the first that is restored`() async throws {
    let state = try await open()
    try await state.add("a")
    cut(.io1, 0)
    cut(.io1, 1)
    #expect(await state.reaches(.inStep, .lost))
    try await state.add("b")
    try restore(.io1, 1)
    #expect(await state.reaches(.inStep, .inStep))
    #expect(try await state.items() == ["a", "b"])
    await state.close()
  }
}
