import BlockLayers
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

/// Snapshots and images that administrators read over NBD.
@Suite(.timeLimit(.minutes(1))) struct ReadExportTests {
  @Test func `a snapshot is read while its volume is written, and cannot be written`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.write("then", to: "disk", at: 1 << 20)
    try await storage.snapshot("disk", "first")
    let export = try await storage.call(ExportVolumeToCaller.self, .init(volume: "disk", snapshot: "first"))
    #expect(export.readOnly)
    #expect(export.sizeBytes == 8 << 20)
    let reader = try await storage.read(export.exportName, user: 0)
    try await storage.write("now", to: "disk", at: 1 << 20)
    #expect(try reader.text(at: 1 << 20) == "then")
    #expect(throws: BlockError.self) { try reader.write([UInt8](repeating: 1, count: 512), at: 0) }
    #expect(try reader.extents(at: 0, count: 8 << 20).contains { $0.readsAsZero })
    #expect(throws: BlockError.self) { try reader.bytes(at: (8 << 20) - 512, count: 1024) }
    await storage.stop()
  }

  @Test func `what is read cannot be taken away`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.makeImage("base", text: "golden")
    try await storage.create("disk", size: nil, image: "base")
    try await storage.snapshot("disk", "first")
    let snapshot = try await storage.call(ExportVolumeToCaller.self, .init(volume: "disk", snapshot: "first"))
    let image = try await storage.call(ExportImageToCaller.self, .init(image: "base"))
    var readers: [ReadingDevice]? = [
      try await storage.read(snapshot.exportName, user: 0), try await storage.read(image.exportName, user: 0),
    ]
    #expect(try readers?.map { try $0.text(at: 0) } == ["golden", "golden"])
    func deleteSnapshot() async throws -> JobStatus {
      try await storage.call(DeleteSnapshot.self, .init(volume: "disk", snapshot: "first"))
    }
    #expect(await failure { try await deleteSnapshot() }?.kind == "volumeInUse")
    #expect(await failure { try await storage.call(DeleteVolume.self, .init(volume: "disk")) }?.kind == "volumeInUse")
    #expect(await failure { try await storage.call(DeleteImage.self, .init(image: "base")) }?.kind == "imageInUse")
    readers = nil
    #expect(try await storage.ended(try await deleteSnapshot()).state == .done)
    #expect(try await storage.call(DeleteVolume.self, .init(volume: "disk")).deleted)
    #expect(try await storage.call(DeleteImage.self, .init(image: "base")).deleted)
    #expect(await failure { try await storage.read(image.exportName, user: 0) }?.kind == "noSuchVolume")
    await storage.stop()
  }

  @Test func `only the user who asked may read, also from the next instance`() async throws {
    let host = try TestHost()
    let first = try await host.start()
    try await first.makeImage("base", text: "golden")
    let export = try await first.call(ExportImageToCaller.self, .init(image: "base"))
    await first.kill()
    let second = try await host.start()
    #expect(try await second.read(export.exportName, user: 0).text(at: 0) == "golden")
    #expect(await failure { try await second.read(export.exportName, user: 1000) }?.kind == "noSuchVolume")
    #expect(
      try await second.onThread { (service) throws(RPCError) in try service.readExportNames(for: 0) } == [
        export.exportName
      ])
    #expect(try await second.onThread { (service) throws(RPCError) in try service.readExportNames(for: 1000) }.isEmpty)
    await second.stop()
  }

  @Test func `a volume in use is not given to administrators`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    let guest = try await storage.call(ExportVolume.self, .init(volume: "disk", clientUserID: 1000))
    let session = try await storage.connect(to: guest.exportName, user: 1000)
    let refused = await failure { try await storage.call(ExportVolumeToCaller.self, .init(volume: "disk")) }
    #expect(refused?.kind == "volumeInUse")
    session.close()
    let export = try await storage.call(ExportVolumeToCaller.self, .init(volume: "disk"))
    #expect(!export.readOnly)
    let mine = try await storage.connect(to: export.exportName, user: 0)
    try mine.write([UInt8](repeating: 65, count: 512), at: 0)
    mine.close()
    #expect(try await storage.text(of: "disk", at: 0).hasPrefix("AAA"))
    await storage.stop()
  }
}

extension Instance {
  /// Runs on a thread that may block.
  func onThread<T: Sendable>(
    _ body: @escaping @Sendable (StorageService) throws(RPCError) -> T
  ) async throws(RPCError) -> T {
    let service = service
    return try await service.blocking(on: WorkerPool(name: "test-open", limit: 1)) { () throws(RPCError) in
      try body(service)
    }
  }

  /// Opens what may only be read, as an NBD connection does.
  func read(_ exportName: String, user: UInt32) async throws -> ReadingDevice {
    let name = try #require(ReadExportName(exportName))
    return try await onThread { (service) throws(RPCError) in try service.openReading(name, userID: user) }
  }
}

extension BlockDevice {
  func text(at offset: Int64) throws -> String {
    String(decoding: try bytes(at: offset, count: 512).prefix { $0 != 0 }, as: UTF8.self)
  }
}
