import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

@Suite struct ImageTests {
  @Test func aPromotedVolumeIsAnImageAndNoVolumeAnyLonger() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("golden")
    try await storage.write("content", to: "golden", at: 1024)
    let image = try await storage.call(
      PromoteVolume.self, .init(volume: "golden", image: "base", description: "Debian 12"))
    #expect(image.description == "Debian 12")
    #expect(image.usedBy.isEmpty)
    #expect(await failure { try await storage.show("golden") }?.kind == "noSuchVolume")
    let clone = try await storage.create("clone", size: nil, image: "base", undo: true)
    #expect(clone.image?.rawValue == "base")
    #expect(clone.sizeBytes == 8 << 20)
    #expect(clone.layers.map(\.role) == [.undo, .differencing, .base])
    #expect(try await storage.text(of: "clone", at: 1024) == "content")
    #expect(try await storage.call(ListImages.self, Nothing()).images.first?.usedBy.map(\.rawValue) == ["clone"])
    try await storage.requireNoStrayFiles()
    await storage.stop()
  }

  @Test func anImageInUseCannotBeDeleted() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("golden")
    _ = try await storage.call(PromoteVolume.self, .init(volume: "golden", image: "base"))
    try await storage.create("clone", size: nil, image: "base")
    let error = await failure { try await storage.call(DeleteImage.self, .init(image: "base")) }
    #expect(error?.kind == "imageInUse")
    #expect(error?.data["volumes"] == ["clone"])
    _ = try await storage.call(DeleteVolume.self, .init(volume: "clone"))
    #expect(try await storage.call(DeleteImage.self, .init(image: "base")).deleted)
    #expect(try await storage.call(DeleteImage.self, .init(image: "base")).deleted == false)
    #expect(try host.files.list(on: .io0).isEmpty)
    await storage.stop()
  }

  @Test func whatCannotBecomeAnImageIsRefusedWithAReason() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("golden")
    try await storage.create("undoable", undo: true)
    _ = try await storage.call(PromoteVolume.self, .init(volume: "golden", image: "base"))
    try await storage.create("clone", size: nil, image: "base")
    try await storage.create("other")
    func kind(_ volume: VolumeName, _ image: ImageName) async -> String? {
      await failure { try await storage.call(PromoteVolume.self, .init(volume: volume, image: image)) }?.kind
    }
    #expect(await kind("undoable", "new") == "undoLayerExists")
    #expect(await kind("clone", "new") == "basedOnImage")
    #expect(await kind("other", "base") == "imageExists")
    #expect(await kind("missing", "new") == "noSuchVolume")
    try await storage.requireNoStrayFiles()
    await storage.stop()
  }

  @Test func aVolumeOnAnImageHasTheImagesSize() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("golden")
    _ = try await storage.call(PromoteVolume.self, .init(volume: "golden", image: "base"))
    let wrong = await failure { try await storage.create("clone", size: 16 << 20, image: "base") }
    #expect(wrong?.kind == "sizeOutOfRange")
    let missing = await failure { try await storage.create("clone", size: nil, image: "none") }
    #expect(missing?.kind == "noSuchImage")
    await storage.stop()
  }

  @Test func `what is said of an image can be changed, each by itself`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.makeImage("base", text: "golden")
    try await storage.summed(1)
    _ = try await storage.call(
      UpdateImage.self, .init(image: "base", operatingSystem: "Debian 12", tags: ["web", "x64"]))
    let status = try await storage.call(UpdateImage.self, .init(image: "base", description: "The web servers' base"))
    #expect(status.operatingSystem == "Debian 12")
    #expect(status.tags == ["web", "x64"])
    #expect(try await storage.call(ListImages.self, Nothing()).images == [status])
    for tags in [["a b"], [""], [String](repeating: "x", count: 17)] {
      let refused = await failure { try await storage.call(UpdateImage.self, .init(image: "base", tags: tags)) }
      #expect(refused?.kind == "invalidParams")
    }
    #expect(await failure { try await storage.call(UpdateImage.self, .init(image: "none")) }?.kind == "noSuchImage")
    await storage.stop()
  }
}
