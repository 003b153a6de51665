import BlockLayers
import Foundation
import Primitives
import RPC
import ServiceAPI
import StorageAPI
import Synchronization
import Testing

@testable import StorageCore

/// How much is copied and compared when a leg comes back, and after a kill.
@Suite(.timeLimit(.minutes(1))) struct MirrorTests {
  private static let piece = [UInt8](repeating: 7, count: 64 << 10)

  /// A volume whose layer is as long as that, and more, closed.
  private func fill(_ storage: Instance, mebibytes: Int64 = 32) async throws {
    try await storage.create("disk", size: 256 << 20)
    let device = try await storage.export("disk")
    for offset in stride(from: Int64(0), to: mebibytes << 20, by: 64 << 10) { try device.write(Self.piece, at: offset) }
    device.close()
    try await storage.write("closed", to: "disk", at: 0)
  }

  private func layer(_ host: TestHost) throws -> String { try #require(try host.files.list(on: .io0).first) }

  /// What a leg got when it was brought into step.
  private func copiedBytes(_ host: TestHost) async throws -> Int64 {
    try #require(try await host.alerts.first("legInStep").data["copiedBytes"]?.integer)
  }

  @Test func aLegThatReturnsGetsOnlyTheExtentsThatItMissed() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await fill(storage)
    try host.shoot(.io1)
    _ = try await host.alerts.first("legLost")
    try await storage.write("missed", to: "disk", at: 5 << 20)
    try host.bringBack(.io1)
    await storage.waitForLegs { $0[.io1] == .inStep }
    let copied = try await copiedBytes(host)
    #expect(copied > 0 && copied <= 3 * (4 << 20))
    await storage.stop()
    #expect(try host.legsAreEqual())
  }

  @Test func aLegThatMissedNothingGetsNothing() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await fill(storage)
    try host.shoot(.io0)
    _ = try await host.alerts.first("legLost")
    try host.bringBack(.io0)
    await storage.waitForLegs { $0[.io0] == .inStep }
    #expect(try await copiedBytes(host) == 0)
    await storage.stop()
    #expect(try host.legsAreEqual())
  }

  @Test func whatALegMissedIsKnownToTheNextInstance() async throws {
    let host = try TestHost()
    let first = try await host.start()
    try await fill(first)
    let device = try await first.export("disk")
    try device.write(Self.piece, at: 0)
    try host.shoot(.io1)
    _ = try await host.alerts.first("legLost")
    try device.write(Self.piece.map { $0 + 1 }, at: 9 << 20)
    await first.kill(device)
    try host.bringBack(.io1)
    let second = try await host.start()
    await second.waitForLegs { $0[.io1] == .inStep }
    let copied = try await copiedBytes(host)
    #expect(copied > 0 && copied <= 4 * (4 << 20))
    await second.stop()
    #expect(try host.legsAreEqual())
  }

  @Test(arguments: ["empty", "record", "file", "foreign"])
  func aLegThatIsNotWhatWasLostIsCopiedWhole(_ fault: String) async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await fill(storage)
    try host.shoot(.io1)
    _ = try await host.alerts.first("legLost")
    let path = host.files.path(try layer(host), on: .io1)
    let record = LegFiles.intent(of: path)
    switch fault {
    case "empty": try FileManager.default.removeItem(atPath: "\(host.leg(.io1))/volumes")
    case "record": try FileManager.default.removeItem(atPath: record)
    case "file": try FileManager.default.removeItem(atPath: path)
    default:
      let other = try TestHost()
      let foreign = try await other.start()
      try await foreign.create("disk")
      await foreign.stop()
      let source = LegFiles.intent(of: other.files.path(try layer(other), on: .io1))
      try FileManager.default.removeItem(atPath: record)
      try FileManager.default.copyItem(atPath: source, toPath: record)
    }
    try host.bringBack(.io1)
    await storage.waitForLegs { $0[.io1] == .inStep }
    #expect(try await copiedBytes(host) >= 32 << 20)
    await storage.stop()
    #expect(try host.legsAreEqual())
  }

  @Test func aCopyThatIsOlderThanTheLossIsNotTakenForTheLegThatWasLost() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await fill(storage)
    let copy = "\(host.root)/copy"
    try FileManager.default.copyItem(atPath: host.leg(.io1), toPath: copy)
    try await storage.write("newer", to: "disk", at: 20 << 20)
    try host.shoot(.io1)
    _ = try await host.alerts.first("legLost")
    try FileManager.default.removeItem(atPath: "\(host.leg(.io1))/volumes")
    try FileManager.default.moveItem(atPath: "\(copy)/volumes", toPath: "\(host.leg(.io1))/volumes")
    try host.bringBack(.io1)
    await storage.waitForLegs { $0[.io1] == .inStep }
    #expect(try await copiedBytes(host) >= 32 << 20)
    await storage.stop()
    #expect(try host.legsAreEqual())
  }

  @Test func afterAKillOnlyWhatWasBeingWrittenIsCompared() async throws {
    let host = try TestHost()
    let first = try await host.start()
    try await fill(first)
    let device = try await first.export("disk")
    try device.write(Self.piece.map { $0 + 1 }, at: 9 << 20)
    await first.kill(device)
    let second = try await host.start()
    let alert = try await host.alerts.first("volumeInStep")
    let compared = try #require(alert.data["comparedBytes"]?.integer)
    #expect(compared > 0 && compared <= 3 * (4 << 20))
    await second.stop()
    #expect(try host.legsAreEqual())
  }

  @Test func anImageIsNotCopiedAgain() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await fill(storage)
    _ = try await storage.call(PromoteVolume.self, .init(volume: "disk", image: "base"))
    try await storage.create("clone", size: nil, image: "base")
    try host.shoot(.io1)
    _ = try await host.alerts.first("legLost")
    try await storage.write("missed", to: "clone", at: 0)
    try host.bringBack(.io1)
    await storage.waitForLegs { $0[.io1] == .inStep }
    #expect(try await copiedBytes(host) <= 4 << 20)
    await storage.stop()
    #expect(try host.legsAreEqual())
  }

  /// The service is killed before each step of a resync while a client writes, and the leg is lost again meanwhile.
  @Test func aResyncThatIsKilledAnywhereIsFinishedByTheNextInstance() async throws {
    for number in 0...4 {
      let host = try TestHost()
      let first = try await host.start()
      try await fill(first, mebibytes: 8)
      try await first.create("other")
      try host.shoot(.io1)
      _ = try await host.alerts.first("legLost")
      try await first.write("missed", to: "disk", at: 5 << 20)
      try await first.write("missed", to: "other", at: 0)
      await first.stop()

      try host.bringBack(.io1)
      let interruption = Interruption(before: number)
      let reached = AsyncStream<Void>.makeStream()
      let second = try await host.start { step in
        guard step.hasPrefix("resync") else { return }
        do { try interruption.step() } catch {
          reached.continuation.yield()
          throw error
        }
      }
      let device = try await second.export("disk")
      try device.write(Self.piece, at: 6 << 20)
      // There are four steps: the beginning, two layers, the end.
      if number < 4 {
        for await _ in reached.stream { break }
      } else {
        await second.waitForLegs { $0[.io1] == .inStep }
      }
      try device.write(Self.piece, at: 3 << 20)
      if number % 2 == 1 { try host.shoot(.io1) }
      try device.write(Self.piece, at: 40 << 20)
      try device.flush()
      await second.kill(device)

      if number % 2 == 1 { try host.bringBack(.io1) }
      let third = try await host.start()
      await third.waitForLegs { $0[.io1] == .inStep }
      #expect(try await third.text(of: "other", at: 0) == "missed", "step \(number)")
      let again = try await third.export("disk")
      for offset: Int64 in [6 << 20, 3 << 20, 40 << 20] {
        #expect(try again.bytes(at: offset, count: Self.piece.count) == Self.piece, "step \(number)")
      }
      again.close()
      await third.stop()
      #expect(try host.legsAreEqual(), "step \(number)")
    }
  }
}
