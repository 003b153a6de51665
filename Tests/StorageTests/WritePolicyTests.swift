import BlockLayers
import Foundation
import NBD
import Primitives
import RPC
import StorageAPI
import Synchronization
import Testing

@testable import StorageCore

@Suite(.timeLimit(.minutes(1))) struct WritePolicyTests {
  /// A client that writes a sector in a thread of its own.
  private final class Writing: Sendable {
    private let pool = WorkerPool(name: "test-writing", limit: 1)
    private let outcome = Mutex<Bool?>(nil)

    init(_ client: NBDClient, _ byte: UInt8) {
      pool.submit { [self] in
        let isDone = (try? client.write([UInt8](repeating: byte, count: 512), at: 0)) != nil
        outcome.withLock { $0 = isDone }
      }
    }

    var hasEnded: Bool { outcome.withLock { $0 != nil } }

    func succeeded() async throws -> Bool {
      while true {
        if let outcome = outcome.withLock({ $0 }) { return outcome }
        try await Task.sleep(for: .milliseconds(2))
      }
    }
  }

  private func connect(_ storage: Instance, _ nbd: TestNBD, _ volume: VolumeName) async throws -> NBDClient {
    let export = try await storage.call(ExportVolume.self, .init(volume: volume, clientUserID: Int(getuid())))
    return try await WorkerPool(name: "test-connect", limit: 1).run {
      try NBDClient(socketPath: nbd.socketPath, export: export.exportName)
    }
  }

  private func first(_ client: NBDClient) async throws -> UInt8 {
    try await WorkerPool(name: "test-read", limit: 1).run { try client.bytes(at: 0, count: 512)[0] }
  }

  @discardableResult
  private func set(
    _ storage: Instance, cache: CachePolicy? = nil, onOneLeg: OneLegPolicy? = nil
  ) async throws -> VolumeStatus {
    try await storage.call(SetWritePolicy.self, .init(volume: "disk", cache: cache, onOneLeg: onOneLeg))
  }

  /// Takes a leg away. An answer is held once storage noticed: what was written before that is on both legs' disks.
  private func lose(_ leg: LegID, _ host: TestHost, _ storage: Instance) async throws {
    try host.shoot(leg)
    await storage.waitForLegs { $0[leg] != .inStep }
  }

  private func expectPolicy(
    _ storage: Instance, _ volume: VolumeName, _ cache: CachePolicy, _ onOneLeg: OneLegPolicy
  ) async throws {
    let status = try await storage.show(volume)
    #expect(status.cache == cache && status.onOneLeg == onOneLeg)
  }

  @Test func thePolicyIsShownAndSurvivesTheInstance() async throws {
    let host = try TestHost()
    let first = try await host.start()
    try await first.create("disk")
    try await expectPolicy(first, "disk", .writeBack, .continue)
    #expect(try await set(first, cache: .writeThrough).onOneLeg == .continue)
    #expect(try await set(first, onOneLeg: .hold).cache == .writeThrough)
    let refusal = await failure { try await first.call(SetWritePolicy.self, .init(volume: "none", cache: .writeBack)) }
    #expect(refusal?.kind == "noSuchVolume")
    await first.stop()
    let second = try await host.start()
    try await expectPolicy(second, "disk", .writeThrough, .hold)
    _ = try await second.call(
      CreateVolume.self, .init(volume: "other", sizeBytes: 1 << 20, cache: .writeThrough, onOneLeg: .hold))
    try await expectPolicy(second, "other", .writeThrough, .hold)
    await second.stop()
  }

  @Test func withOneLegAWriteWaitsAndReadsGoOnUntilTheLegIsBack() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    let nbd = try TestNBD(storage, in: host)
    try await storage.create("disk")
    let (writer, reader) = (try await connect(storage, nbd, "disk"), try await connect(storage, nbd, "disk"))
    #expect(try await Writing(writer, 1).succeeded())
    try await set(storage, onOneLeg: .hold)
    #expect(try await Writing(writer, 2).succeeded())
    try await lose(.io1, host, storage)
    let writing = Writing(writer, 3)
    #expect(try await host.alerts.first("writesHeld").subject == "disk")
    #expect(try await first(reader) == 3)
    #expect(try await storage.show("disk").waitingSessions == 1)
    // Layers change under a client whose write waits.
    try await storage.snapshot("disk", "one")
    #expect(!writing.hasEnded)
    try host.bringBack(.io1)
    #expect(try await writing.succeeded())
    await storage.waitForLegs { $0[.io1] == .inStep }
    #expect(try await host.alerts.first("writesResumed").subject == "disk")
    #expect(try await storage.show("disk").waitingSessions == 0)
    writer.close()
    reader.close()
    nbd.server.stop()
    await storage.stop()
    #expect(try host.legsAreEqual())
  }

  @Test func aChangedPolicyLetsWritesGoOnAtOnce() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    let nbd = try TestNBD(storage, in: host)
    try await storage.create("disk")
    try await set(storage, onOneLeg: .hold)
    let client = try await connect(storage, nbd, "disk")
    try await lose(.io0, host, storage)
    let writing = Writing(client, 4)
    _ = try await host.alerts.first("writesHeld")
    #expect(!writing.hasEnded)
    try await set(storage, onOneLeg: .continue)
    #expect(try await writing.succeeded())
    client.close()
    nbd.server.stop()
    await storage.stop()
  }

  @Test func aFenceAndTheEndOfTheInstanceFindNothingThatWaits() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    let nbd = try TestNBD(storage, in: host)
    try await storage.create("disk")
    try await set(storage, onOneLeg: .hold)
    try await lose(.io1, host, storage)
    let one = Writing(try await connect(storage, nbd, "disk"), 5)
    _ = try await host.alerts.first("writesHeld")
    let refusal = await failure { try await storage.write("text", to: "disk", at: 0) }
    #expect(refusal?.kind == "volumeInUse")
    _ = try await storage.call(FenceVolume.self, .init(volume: "disk"))
    #expect(try await one.succeeded() == false)
    #expect(await failure { try await storage.write("text", to: "disk", at: 0) }?.kind == "legUnavailable")
    let two = Writing(try await connect(storage, nbd, "disk"), 6)
    while try await storage.show("disk").waitingSessions == 0 { try await Task.sleep(for: .milliseconds(2)) }
    await storage.stop()
    #expect(try await two.succeeded() == false)

    // The next instance has one leg, too: whoever comes back waits there.
    let next = try await host.start()
    let server = try TestNBD(next, in: host)
    let three = Writing(try await connect(next, server, "disk"), 7)
    while try await next.show("disk").waitingSessions == 0 { try await Task.sleep(for: .milliseconds(2)) }
    try host.bringBack(.io1)
    #expect(try await three.succeeded())
    server.server.stop()
    await next.stop()
  }

  @Test func writeThroughMakesDurableWhatWasAnsweredBefore() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    let nbd = try TestNBD(storage, in: host)
    try await storage.create("disk")
    let client = try await connect(storage, nbd, "disk")
    #expect(try await Writing(client, 8).succeeded())
    try await set(storage, cache: .writeThrough)
    // The table of a dynamic disk is written by flushes alone: what a kill leaves tells whether there was one. The old
    // instance's server is stopped last, because that would flush.
    await storage.kill()
    let next = try await host.start()
    let data = try await next.call(ReadVolume.self, .init(volume: "disk", offsetBytes: 0, countBytes: 512)).data
    #expect(Data(base64Encoded: data)?.first == 8)
    await next.stop()
    nbd.server.stop()
  }
}
