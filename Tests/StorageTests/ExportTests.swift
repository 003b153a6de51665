import BlockLayers
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

@Suite(.timeLimit(.minutes(1))) struct ExportTests {
  @Test func onlyTheUserItWasExportedToMayConnect() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    let export = try await storage.call(ExportVolume.self, .init(volume: "disk", clientUserID: 1000))
    #expect(export.exportName == "disk.\(export.generation)")
    #expect(await failure { try await storage.connect(to: export.exportName, user: 1001) }?.kind == "forbidden")
    let session = try await storage.connect(to: export.exportName, user: 1000)
    #expect(session.size == 8 << 20)
    #expect(try await storage.show("disk").sessions == 1)
    session.close()
    await storage.stop()
  }

  @Test func aVolumeThatIsNotExportedCannotBeReached() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    let status = try await storage.create("disk")
    #expect(await failure { try await storage.connect(to: "disk.\(status.generation)") }?.kind == "forbidden")
    #expect(await failure { try await storage.connect(to: "disk") }?.kind == "noSuchVolume")
    #expect(await failure { try await storage.connect(to: "other.1") }?.kind == "noSuchVolume")
    await storage.stop()
  }

  @Test func aFenceEndsSessionsAndRefusesTheirGeneration() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    let export = try await storage.call(ExportVolume.self, .init(volume: "disk", clientUserID: 1000))
    let session = try await storage.connect(to: export.exportName)
    let status = try await storage.call(FenceVolume.self, .init(volume: "disk"))
    #expect(status.generation > export.generation)
    #expect(status.sessions == 0)
    #expect(throws: BlockError.self) { try session.write([UInt8](repeating: 1, count: 512), at: 0) }
    #expect(await failure { try await storage.connect(to: export.exportName) }?.kind == "staleGeneration")
    let stale = await failure {
      try await storage.call(
        ExportVolume.self, .init(volume: "disk", generation: export.generation, clientUserID: 1000))
    }
    #expect(stale?.kind == "staleGeneration")
    #expect(try await storage.text(of: "disk", at: 0) == "")
    session.close()
    await storage.stop()
  }

  @Test func afterAKillTheClientIsAdmittedAgainAndNobodyElseMayChangeTheVolume() async throws {
    let host = try TestHost()
    let first = try await host.start()
    try await first.create("disk", undo: true)
    let export = try await first.call(ExportVolume.self, .init(volume: "disk", clientUserID: 1000))
    let session = try await first.connect(to: export.exportName)
    try session.write([UInt8](repeating: 0x41, count: 512), at: 0)
    try session.flush()
    await first.kill()

    let second = try await host.start()
    let refused = await failure { try await second.call(DiscardUndo.self, .init(volume: "disk")) }
    #expect(refused?.kind == "volumeInUse")
    let again = try await second.connect(to: export.exportName)
    #expect(try again.bytes(at: 0, count: 512) == [UInt8](repeating: 0x41, count: 512))
    again.close()
    _ = try await second.call(DiscardUndo.self, .init(volume: "disk"))
    await second.stop()
  }

  @Test func aHandOverKeepsTheVolumeForItsClient() async throws {
    let host = try TestHost()
    let first = try await host.start()
    try await first.create("disk")
    let export = try await first.call(ExportVolume.self, .init(volume: "disk", clientUserID: 1000))
    let session = try await first.connect(to: export.exportName)
    defer { withExtendedLifetime(session) {} }
    await first.stop()
    let second = try await host.start()
    #expect(await failure { try await second.write("x", to: "disk", at: 0) }?.kind == "volumeInUse")
    _ = try await second.call(FenceVolume.self, .init(volume: "disk"))
    try await second.write("x", to: "disk", at: 0)
    await second.stop()
  }

  @Test func aFenceHoldsAlsoForTheNextInstance() async throws {
    let host = try TestHost()
    let first = try await host.start()
    try await first.create("disk")
    let export = try await first.call(ExportVolume.self, .init(volume: "disk", clientUserID: 1000))
    let session = try await first.connect(to: export.exportName)
    defer { withExtendedLifetime(session) {} }
    _ = try await first.call(FenceVolume.self, .init(volume: "disk"))
    await first.kill()
    let second = try await host.start()
    #expect(await failure { try await second.connect(to: export.exportName) }?.kind == "staleGeneration")
    await second.stop()
  }

  @Test func severalSessionsShareTheVolume() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    let export = try await storage.call(ExportVolume.self, .init(volume: "disk", clientUserID: 1000))
    let one = try await storage.connect(to: export.exportName)
    let two = try await storage.connect(to: export.exportName)
    try one.write([UInt8](repeating: 5, count: 4096), at: 8192)
    #expect(try two.bytes(at: 8192, count: 4096) == [UInt8](repeating: 5, count: 4096))
    one.close()
    #expect(try await storage.show("disk").sessions == 1)
    try two.flush()
    two.close()
    await storage.stop()
  }

  @Test func whileAClientIsConnectedTheVolumeCannotBeChanged() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk", undo: true)
    let session = try await storage.export("disk")
    func kind(_ body: () async throws -> some Any) async -> String? { await failure(body)?.kind }
    #expect(await kind { try await storage.call(CommitUndo.self, .init(volume: "disk")) } == "volumeInUse")
    #expect(await kind { try await storage.call(DiscardUndo.self, .init(volume: "disk")) } == "volumeInUse")
    #expect(await kind { try await storage.call(DeleteVolume.self, .init(volume: "disk")) } == "volumeInUse")
    #expect(await kind { try await storage.write("x", to: "disk", at: 0) } == "volumeInUse")
    #expect(
      await kind { try await storage.call(PromoteVolume.self, .init(volume: "disk", image: "base")) } == "volumeInUse")
    #expect(
      await kind { try await storage.call(ExportVolume.self, .init(volume: "disk", clientUserID: 1001)) }
        == "volumeInUse")
    session.close()
    _ = try await storage.call(CommitUndo.self, .init(volume: "disk"))
    await storage.stop()
  }
}
