import Foundation
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

/// Volumes that come with their first contents.
@Suite struct ProvideTests {
  private static let contents = Data("first".utf8) + Data(count: 507) + Data("second".utf8) + Data(count: 1018)

  private func provide(_ storage: Instance, _ contents: Data? = Self.contents) async throws -> Bool {
    try await storage.call(ProvideVolume.self, .init(volume: "vars", data: contents?.base64EncodedString())).provided
  }

  @Test func itIsMadeOnceAndKeepsWhatWasWrittenLater() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    #expect(try await !provide(storage, nil))
    #expect(try await provide(storage))
    #expect(try await storage.show("vars").sizeBytes == Int64(Self.contents.count))
    try await storage.write("later", to: "vars", at: 512)
    #expect(try await provide(storage))
    #expect(try await storage.text(of: "vars", at: 0) == "first")
    #expect(try await storage.text(of: "vars", at: 512) == "later")
    #expect(try await provide(storage, nil))
    #expect(try host.legsAreEqual())
    await storage.stop()
  }

  @Test func whatWasCutOffBeforeItsFirstSectorIsFilledAgain() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("vars", size: Int64(Self.contents.count))
    try await storage.write("half", to: "vars", at: 1024)
    #expect(try await !provide(storage, nil))
    #expect(try await provide(storage))
    #expect(try await storage.text(of: "vars", at: 512) == "second")
    await storage.stop()
  }

  @Test(arguments: [Data(), Data(count: 512), Data("odd".utf8), Data(repeating: 1, count: 5 << 20)])
  func contentsThatCannotBeToldFromNoneOrDoNotFitAreRefused(contents: Data) async throws {
    let host = try TestHost()
    let storage = try await host.start()
    #expect(await failure { try await provide(storage, contents) } != nil)
    #expect(try await storage.call(ListVolumes.self, .init()).volumes.isEmpty)
    await storage.stop()
  }

  @Test func anEmptyVolumeOfAnotherSizeStaysAsItIs() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("vars")
    let error = await failure { try await provide(storage) }
    #expect(error?.matches(StorageFailure.sizeOutOfRange) == true)
    await storage.stop()
  }
}
