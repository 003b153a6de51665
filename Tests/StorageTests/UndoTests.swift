import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

@Suite struct UndoTests {
  @Test func discardedWritesAreGoneAndEarlierOnesAreThere() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.write("kept", to: "disk", at: 0)
    #expect(try await storage.call(EnableUndo.self, .init(volume: "disk")).hasUndoLayer)
    try await storage.write("lost", to: "disk", at: 0)
    #expect(try await storage.text(of: "disk", at: 0) == "lost")
    let status = try await storage.call(DiscardUndo.self, .init(volume: "disk"))
    #expect(!status.hasUndoLayer)
    #expect(try await storage.text(of: "disk", at: 0) == "kept")
    try await storage.requireNoStrayFiles()
    await storage.stop()
  }

  @Test func committedWritesStayAndTheNewUndoLayerIsEmpty() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk", undo: true)
    try await storage.write("first", to: "disk", at: 0)
    let status = try await storage.call(CommitUndo.self, .init(volume: "disk", keepEnabled: true))
    #expect(status.layers.map(\.role) == [.undo, .base])
    try await storage.write("second", to: "disk", at: 0)
    _ = try await storage.call(DiscardUndo.self, .init(volume: "disk"))
    #expect(try await storage.text(of: "disk", at: 0) == "first")
    #expect(try host.legsAreEqual())
    try await storage.requireNoStrayFiles()
    await storage.stop()
  }

  @Test func enablingUndoTwiceChangesNothing() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk", undo: true)
    let status = try await storage.call(EnableUndo.self, .init(volume: "disk"))
    #expect(status.layers.count == 2)
    await storage.stop()
  }

  @Test func withoutAnUndoLayerThereIsNothingToCommitOrDiscard() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    #expect(await failure { try await storage.call(CommitUndo.self, .init(volume: "disk")) }?.kind == "noUndoLayer")
    #expect(await failure { try await storage.call(DiscardUndo.self, .init(volume: "disk")) }?.kind == "noUndoLayer")
    await storage.stop()
  }

  @Test func aRepeatedDiscardWithTheSameKeyKeepsWhatWasWrittenSince() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk", undo: true)
    let params = DiscardUndo.Params(volume: "disk", keepEnabled: true, requestKey: newKey())
    _ = try await storage.call(DiscardUndo.self, params)
    try await storage.write("new", to: "disk", at: 0)
    _ = try await storage.call(DiscardUndo.self, params)
    #expect(try await storage.text(of: "disk", at: 0) == "new")
    await storage.stop()
  }

  @Test func committingOnAnImageLeavesTheImageAsItWas() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("golden")
    try await storage.write("golden", to: "golden", at: 0)
    _ = try await storage.call(PromoteVolume.self, .init(volume: "golden", image: "base"))
    try await storage.create("one", size: nil, image: "base", undo: true)
    try await storage.create("two", size: nil, image: "base")
    try await storage.write("changed", to: "one", at: 0)
    let status = try await storage.call(CommitUndo.self, .init(volume: "one"))
    #expect(status.layers.map(\.role) == [.differencing, .base])
    #expect(try await storage.text(of: "one", at: 0) == "changed")
    #expect(try await storage.text(of: "two", at: 0) == "golden")
    await storage.stop()
  }
}
