import BlockLayers
import Foundation
import Primitives
import RPC
import ServiceAPI
import StorageAPI
import Synchronization
import Testing

@testable import StorageCore

/// A client that writes to a volume until it is told to stop: every sector gets the number of the write.
final class Writer: Sendable {
  private let pool = WorkerPool(name: "test-writer", limit: 1)
  private let isStopping = Atomic(false)
  private let written = Mutex<[Int64: UInt8]>([:])
  private let failures = Mutex<[String]>([])
  private let device: SessionDevice
  private let finished: AsyncStream<Void>

  init(_ device: SessionDevice) {
    self.device = device
    let (stream, continuation) = AsyncStream<Void>.makeStream()
    finished = stream
    pool.submit { [self] in
      var number: UInt8 = 1
      while !isStopping.load(ordering: .acquiring) {
        let offset = Int64.random(in: 0..<device.size / 4096) * 4096
        do throws(BlockError) {
          try device.write([UInt8](repeating: number, count: 4096), at: offset)
          written.withLock { $0[offset] = number }
          if number % 16 == 0 { try device.flush() }
        } catch {
          failures.withLock { $0.append("\(error)") }
        }
        number = number == .max ? 1 : number + 1
        if number == 100 { continuation.yield() }
      }
      continuation.finish()
    }
  }

  /// Waits until some more was written.
  func waitForWrites() async {
    for await _ in finished { return }
  }

  /// Ends the writing and returns what must be read now.
  func stop() async -> (content: [Int64: UInt8], failures: [String]) {
    isStopping.store(true, ordering: .releasing)
    for await _ in finished {}
    return (written.withLock { $0 }, failures.withLock { $0 })
  }
}

extension Instance {
  /// Exports a volume to this test and connects to it as an NBD client would.
  func export(_ volume: VolumeName, user: UInt32 = 1000) async throws -> SessionDevice {
    let export = try await call(ExportVolume.self, .init(volume: volume, clientUserID: Int(user)))
    return try await connect(to: export.exportName, user: user)
  }

  func connect(to exportName: String, user: UInt32 = 1000) async throws -> SessionDevice {
    let service = self.service
    return try await service.resyncs.run { try service.openSession(exportName, userID: user) }
  }

  /// Waits until the legs stand as told.
  func waitForLegs(_ condition: @Sendable ([LegID: LegState]) -> Bool) async {
    func holds(_ legs: [LegStatus]) -> Bool {
      condition(Dictionary(legs.map { ($0.leg, $0.state) }, uniquingKeysWith: { first, _ in first }))
    }
    if holds(state.legs()) { return }
    for await legs in state.legChanges() where holds(legs) { return }
  }
}

@Suite(.timeLimit(.minutes(1))) struct LegTests {
  @Test func theLossOfALegIsToldAndWritesGoOn() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    let device = try await storage.export("disk")
    let writer = Writer(device)
    await writer.waitForWrites()
    try host.shoot(.io0)
    let alert = try await host.alerts.first("legLost")
    #expect(alert.severity == .critical)
    #expect(alert.subject == "io0")
    await writer.waitForWrites()
    let (content, failures) = await writer.stop()
    #expect(failures.isEmpty, "\(failures.first ?? "")")
    for (offset, byte) in content {
      #expect(try device.bytes(at: offset, count: 4096) == [UInt8](repeating: byte, count: 4096))
    }
    #expect(try await storage.show("disk").legs == [.io1])
    device.close()
    await storage.stop()
  }

  @Test func aLegThatReturnsGetsWhatItMissedWhileClientsWrite() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk", size: 32 << 20)
    try await storage.create("old")
    let device = try await storage.export("disk")
    let writer = Writer(device)
    await writer.waitForWrites()
    try host.shoot(.io1)
    _ = try await host.alerts.first("legLost")
    await writer.waitForWrites()
    try await storage.create("new")
    _ = try await storage.call(DeleteVolume.self, .init(volume: "old"))
    try host.bringBack(.io1)
    await storage.waitForLegs { $0[.io1] == .inStep }
    _ = try await host.alerts.first("legInStep")
    await writer.waitForWrites()
    let (content, failures) = await writer.stop()
    #expect(failures.isEmpty, "\(failures.first ?? "")")
    device.close()
    await storage.stop()
    #expect(try host.legsAreEqual())

    // The leg that returned carries on alone.
    try host.shoot(.io0)
    let next = try await host.start()
    await next.waitForLegs { $0[.io0] != .inStep }
    let again = try await next.export("disk")
    for (offset, byte) in content {
      #expect(try again.bytes(at: offset, count: 4096) == [UInt8](repeating: byte, count: 4096))
    }
    again.close()
    await next.stop()
  }

  @Test func volumesMadeAndPromotedDuringAResyncAreOnBothLegs() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("golden", size: 16 << 20)
    try await storage.write("golden", to: "golden", at: 0)
    try host.shoot(.io0)
    _ = try await host.alerts.first("legLost")
    try host.bringBack(.io0)
    _ = try await host.alerts.first("resyncStarted")
    _ = try await storage.call(PromoteVolume.self, .init(volume: "golden", image: "base"))
    for number in 0..<5 { try await storage.create(VolumeName(unchecked: "clone\(number)"), size: nil, image: "base") }
    await storage.waitForLegs { $0[.io0] == .inStep }
    try await storage.write("more", to: "clone3", at: 512)
    await storage.stop()
    #expect(try host.legsAreEqual())
  }

  @Test func whatAKillLeftDifferentIsMadeEqualAndUntilThenOneLegCounts() async throws {
    let host = try TestHost()
    let first = try await host.start()
    try await first.create("disk")
    let device = try await first.export("disk")
    try device.write([UInt8](repeating: 9, count: 65536), at: 0)
    try device.flush()
    let path = try #require(try host.files.list(on: .io1).first)
    await first.kill()
    // What a write in flight may look like: there on one leg, not on the other.
    let file = try FileHandle(forWritingTo: URL(filePath: host.files.path(path, on: .io1)))
    try file.seekToEnd()
    try file.write(contentsOf: Data(repeating: 1, count: 512))
    try file.close()

    let second = try await host.start()
    #expect(try await host.alerts.first("volumeInStep").subject == "disk")
    #expect(try await second.show("disk").legs == [.io0, .io1])
    #expect(try host.legsAreEqual())
    await second.stop()
  }

  @Test func aLegThatIsMissingAFileIsDropped() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.write("there", to: "disk", at: 0)
    let path = try #require(try host.files.list(on: .io1).first)
    try FileManager.default.removeItem(atPath: host.files.path(path, on: .io1))
    #expect(try await storage.text(of: "disk", at: 0) == "there")
    #expect(try await host.alerts.first("legLost").subject == "io1")
    await storage.waitForLegs { $0[.io1] == .inStep }
    await storage.stop()
    #expect(try host.legsAreEqual())
  }

  @Test(arguments: LegID.allCases, [0, 1536])
  func aLegWhoseCopyIsDamagedIsDroppedAndFilledAgain(_ leg: LegID, _ length: Int) async throws {
    let host = try TestHost()
    let storage = try await host.start()
    let status = try await storage.create("disk")
    try await storage.write("there", to: "disk", at: 0)
    let layer = try #require(status.layers.first?.layer)
    try Data(repeating: 7, count: length).write(to: URL(filePath: "\(host.leg(leg))/volumes/disk/\(layer).vhd"))
    #expect(try await storage.text(of: "disk", at: 0) == "there")
    #expect(try await host.alerts.first("legLost").subject == leg.rawValue)
    await storage.waitForLegs { $0[leg] == .inStep }
    #expect(try await storage.text(of: "disk", at: 0) == "there")
    await storage.stop()
    #expect(try host.legsAreEqual())
  }

  @Test func legsAreShownWithTheirFreeSpace() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    let legs = try await storage.call(GetLegs.self, Nothing()).legs
    #expect(legs.map(\.leg).sorted { $0.rawValue < $1.rawValue } == [.io0, .io1])
    #expect(legs.allSatisfy { $0.state == .inStep && ($0.freeBytes ?? 0) > 0 })
    await storage.stop()
  }
}
