import Foundation
import HardwareAPI
import Primitives
import RPC
import Testing

@testable import HardwareSupervisorCore

@MainActor @Suite struct PathTests {
  private func mark(_ host: SimulatedHost, _ leg: LegID, _ path: Int) -> String {
    "\(host.directory)/path/\(leg).\(path)"
  }

  @Test func aPathIsCutByAMarkWithItsReasonAndRestoredByItsRemoval() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    let supervisor = try #require(host.supervisor)
    for _ in 0..<2 {
      let params = FailPath.Params(leg: .io0, path: 1, reason: "a cable\nwas pulled")
      #expect(try await supervisor.failPath(params) == PathStatus(leg: .io0, path: 1, isCut: true))
    }
    #expect(try String(contentsOfFile: mark(host, .io0, 1), encoding: .utf8) == "a cable was pulled")
    for _ in 0..<2 {
      let restored = try await supervisor.restorePath(.init(leg: .io0, path: 1))
      #expect(restored == PathStatus(leg: .io0, path: 1, isCut: false))
    }
    #expect(!FileManager.default.fileExists(atPath: mark(host, .io0, 1)))
    await host.remove()
  }

  @Test func theLastPathOfALegIsKeptUnlessItIsForced() async throws {
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    let supervisor = try #require(host.supervisor)
    _ = try await supervisor.failPath(.init(leg: .io1, path: 0))
    await #expect {
      _ = try await supervisor.failPath(.init(leg: .io1, path: 1))
    } throws: {
      ($0 as? RPCError)?.matches(HardwareFailure.lastInService) == true
    }
    #expect(!FileManager.default.fileExists(atPath: mark(host, .io1, 1)))
    _ = try await supervisor.failPath(.init(leg: .io0, path: 1))
    _ = try await supervisor.failPath(.init(leg: .io1, path: 1, force: true))
    #expect(FileManager.default.fileExists(atPath: mark(host, .io1, 1)))
    await host.remove()
  }
}
