import Foundation
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

@Suite(.timeLimit(.minutes(1))) struct OpeningsTests {
  @Test func `whoever finds openings and topmost layer unchanged knows that nobody wrote`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    let before = try await storage.show("disk")
    #expect(try await storage.text(of: "disk", at: 0).isEmpty)
    _ = try await storage.call(FenceVolume.self, .init(volume: "disk"))
    let read = try await storage.show("disk")
    #expect(read.openings == before.openings && read.layers.first?.layer == before.layers.first?.layer)
    for _ in 0..<2 {
      let last = try await storage.show("disk")
      try await storage.write("one", to: "disk", at: 0)
      let written = try await storage.show("disk")
      #expect(try #require(written.openings) > (last.openings ?? 0))
    }
    try await storage.snapshot("disk", "first")
    let top = try await storage.show("disk").layers.first?.layer
    try await storage.revert("disk", to: "first")
    #expect(try await storage.show("disk").layers.first?.layer != top)
    await storage.stop()
  }
}
