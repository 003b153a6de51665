import BlockLayers
import Foundation
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

@Suite(.timeLimit(.minutes(1))) struct ScrubbingTests {
  private func flip(_ host: TestHost, _ leg: LegID, at offset: Int) throws {
    let path = host.files.path(try #require(try host.files.list(on: leg).first), on: leg)
    let file = try PosixFile(path: path, mode: .readWrite)
    var byte: [UInt8] = [0]
    try byte.withUnsafeMutableBytes { try file.read(into: $0, at: Int64(offset)) }
    byte[0] ^= 1
    try byte.withUnsafeBytes { try file.write($0, at: Int64(offset)) }
  }

  @Test(arguments: LegID.allCases)
  func aFlippedBitIsHealedAndTold(_ leg: LegID) async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.write("precious", to: "disk", at: 0)
    await storage.service.scrub()
    #expect(host.alerts.entries.allSatisfy { !$0.kind.hasPrefix("blocks") })
    try flip(host, leg, at: 700)
    await storage.service.scrub()
    let alert = try await host.alerts.first("blocksRepaired")
    #expect(alert.subject == "disk")
    #expect(alert.severity == .warning)
    #expect(alert.data["repairedOn\(leg.rawValue.uppercased())"] == 1)
    #expect(try host.legsAreEqual())
    #expect(try await storage.text(of: "disk", at: 0) == "precious")
    await storage.stop()
  }

  @Test func aBlockThatIsWrongOnBothLegsIsTold() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    _ = try await storage.call(PromoteVolume.self, .init(volume: "disk", image: "base"))
    await storage.service.scrub()
    for leg in LegID.allCases { try flip(host, leg, at: 700) }
    await storage.service.scrub()
    let alert = try await host.alerts.first("blocksLost")
    #expect(alert.subject == "base")
    #expect(alert.severity == .critical)
    await storage.stop()
  }

  @Test func aReadFindsAndHealsWhatChangedOnTheDiskAndTellsItOnce() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.write("precious", to: "disk", at: 0)
    await storage.service.scrub()
    for _ in 0..<3 {
      try flip(host, .io0, at: try dataOffset(host, "precious"))
      let again = try await storage.export("disk")
      #expect(try again.bytes(at: 0, count: 4096).starts(with: "precious".utf8))
      again.close()
      #expect(try host.legsAreEqual())
    }
    let alerts = host.alerts.entries.filter { $0.kind.hasPrefix("blocks") || $0.kind == "readFailed" }
    #expect(alerts.map(\.kind) == ["blocksRepaired"])
    #expect(alerts.first?.subject == "disk" && alerts.first?.data["leg"] == "io0")
    #expect(alerts.first?.data["healed"] == true)
    await storage.stop()
  }

  @Test func whatIsWrongOnBothLegsIsNotServed() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.write("precious", to: "disk", at: 0)
    await storage.service.scrub()
    let offset = try dataOffset(host, "precious")
    for leg in LegID.allCases { try flip(host, leg, at: offset) }
    let again = try await storage.export("disk")
    #expect(throws: BlockError.self) { _ = try again.bytes(at: 0, count: 4096) }
    let alert = try #require(host.alerts.entries.first { $0.kind == "blocksLost" })
    #expect(alert.severity == .critical && alert.subject == "disk")
    again.close()
    await storage.stop()
  }

  /// Where a layer's file holds this.
  private func dataOffset(_ host: TestHost, _ content: String) throws -> Int {
    let path = host.files.path(try #require(try host.files.list(on: .io0).first), on: .io0)
    return try #require(try Data(contentsOf: URL(filePath: path)).range(of: Data(content.utf8))).lowerBound
  }

  @Test func companionsComeAndGoWithTheirLayers() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    await storage.service.scrub()
    _ = try await storage.call(DeleteVolume.self, .init(volume: "disk"))
    for leg in LegID.allCases {
      #expect(try FileManager.default.contentsOfDirectory(atPath: "\(host.leg(leg))/volumes").isEmpty)
    }
    await storage.stop()
  }
}
