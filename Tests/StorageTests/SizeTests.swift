import Foundation
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

@Suite(.timeLimit(.minutes(1))) struct SizeTests {
  @Test func `a volume that is made larger holds what it held, and zeros behind`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.write("old", to: "disk", at: 0)
    let status = try await storage.call(ResizeVolume.self, .init(volume: "disk", sizeBytes: 50 << 20))
    #expect(status.sizeBytes == 50 << 20)
    try await storage.write("new", to: "disk", at: (50 << 20) - 512)
    #expect(try await storage.text(of: "disk", at: 0) == "old")
    #expect(try await storage.text(of: "disk", at: 20 << 20) == "")
    await storage.stop()
    #expect(try host.legsAreEqual())
    let again = try await host.start()
    #expect(try await again.show("disk").sizeBytes == 50 << 20)
    #expect(try await again.text(of: "disk", at: (50 << 20) - 512) == "new")
    await again.stop()
  }

  @Test func `a client sees the new size when it connects again`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    let session = try await storage.export("disk")
    try session.write([UInt8](repeating: 1, count: 512), at: 0)
    _ = try await storage.call(ResizeVolume.self, .init(volume: "disk", sizeBytes: 16 << 20))
    #expect(session.size == 8 << 20)
    try session.write([UInt8](repeating: 2, count: 512), at: 512)
    #expect(try session.bytes(at: 0, count: 512) == [UInt8](repeating: 1, count: 512))
    session.close()
    let other = try await storage.export("disk")
    #expect(other.size == 16 << 20)
    #expect(try other.bytes(at: 512, count: 512) == [UInt8](repeating: 2, count: 512))
    other.close()
    await storage.stop()
  }

  @Test func `a snapshot keeps its size, and is merged into what is larger`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.write("old", to: "disk", at: 0)
    try await storage.snapshot("disk", "small")
    _ = try await storage.call(ResizeVolume.self, .init(volume: "disk", sizeBytes: 40 << 20))
    try await storage.write("far", to: "disk", at: 39 << 20)
    try await storage.snapshot("disk", "large")
    #expect(try await storage.revert("disk", to: "small").sizeBytes == 8 << 20)
    #expect(try await storage.revert("disk", to: "large").sizeBytes == 40 << 20)
    #expect(try await storage.deleteSnapshot("disk", "small").state == .done)
    #expect(try await storage.text(of: "disk", at: 0) == "old")
    #expect(try await storage.text(of: "disk", at: 39 << 20) == "far")
    try await storage.requireNoStrayFiles()
    await storage.stop()
  }

  @Test func `a size that is not allowed is refused with a reason`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.create("undoable", undo: true)
    func kind(_ volume: VolumeName, _ size: Int64) async -> String? {
      await failure { try await storage.call(ResizeVolume.self, .init(volume: volume, sizeBytes: size)) }?.kind
    }
    #expect(await kind("disk", 4 << 20) == "sizeOutOfRange")
    #expect(await kind("disk", 3 << 40) == "sizeOutOfRange")
    #expect(await kind("disk", (9 << 20) + 1) == "sizeOutOfRange")
    #expect(await kind("undoable", 9 << 20) == "undoLayerExists")
    #expect(await kind("missing", 9 << 20) == "noSuchVolume")
    await storage.stop()
  }

  @Test func `a check finds nothing in good files, and says on which leg one is damaged`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.write("old", to: "disk", at: 0)
    try await storage.snapshot("disk", "first")
    let good = try await storage.call(CheckVolume.self, .init(volume: "disk"))
    #expect(good.isSound && good.findings.isEmpty && good.layers == 4)
    let layer = try #require(try await storage.show("disk").layers.last)
    let file = try FileHandle(
      forUpdating: URL(filePath: "\(host.leg(.io1))/volumes/disk/\(layer.layer).vhd"))
    try file.seek(toOffset: 4096)
    try file.write(contentsOf: Data([0, 0xff, 0, 0]))
    try file.close()
    let bad = try await storage.call(CheckVolume.self, .init(volume: "disk"))
    #expect(!bad.isSound)
    #expect(Set(bad.findings.map(\.leg)) == [.io1])
    // What the entry no longer refers to is space that belongs to nothing.
    #expect(bad.findings.map(\.kind) == ["entryOutside", "trailingGarbage"])
    await storage.stop()
  }
}
