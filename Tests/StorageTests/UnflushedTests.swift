import BlockLayers
import Foundation
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

/// A client that outlives the service, as a guest on the other module does, finds all that was acknowledged to it.
@Suite(.timeLimit(.minutes(2))) struct UnflushedTests {
  private static let page = 4096

  private func bytes(_ value: Int) -> [UInt8] { [UInt8](repeating: UInt8(truncatingIfNeeded: value), count: Self.page) }

  /// Writes pages all over a volume, without a flush.
  private func write(_ values: Range<Int>, to device: SessionDevice) throws {
    for value in values { try device.write(bytes(value), at: Int64(value) * 150_000 / 4096 * 4096) }
  }

  private func check(_ values: Range<Int>, on device: SessionDevice, _ comment: Comment? = nil) throws {
    for value in values {
      let found = try device.bytes(at: Int64(value) * 150_000 / 4096 * 4096, count: Self.page)
      #expect(found == bytes(value), comment)
    }
  }

  @Test(arguments: [false, true]) func `what was not flushed is there after kills`(hasUndo: Bool) async throws {
    let host = try TestHost()
    var storage = try await host.start()
    try await storage.create("disk", size: 64 << 20, undo: hasUndo)
    var device = try await storage.export("disk")
    let name = device.session.exportName
    for life in 0..<4 {
      try write(life * 50..<life * 50 + 50, to: device)
      if life == 2 { try device.flush() }
      await storage.kill(device)
      storage = try await host.start()
      device = try await storage.connect(to: name)
      try check(0..<life * 50 + 50, on: device, "life \(life)")
    }
    try device.flush()
    device.close()
    await storage.stop()
    #expect(try host.legsAreEqual())
    #expect(try FileManager.default.contentsOfDirectory(atPath: "\(host.root)/run/metadata").isEmpty)
  }

  @Test func `whatever is done first after a kill, nothing is lost`() async throws {
    for (number, (hasUndo, first)) in Self.firsts.enumerated() {
      let host = try TestHost()
      let storage = try await host.start()
      try await storage.create("disk", size: 64 << 20, undo: hasUndo)
      let device = try await storage.export("disk")
      try write(0..<60, to: device)
      await storage.kill(device)
      let next = try await host.start()
      // The client is back later than the operator.
      _ = try await next.call(FenceVolume.self, .init(volume: "disk"))
      try await first(next)
      let again = try await next.export("disk")
      try check(0..<60, on: again, "case \(number)")
      again.close()
      let report = try await next.call(CheckVolume.self, .init(volume: "disk"))
      #expect(report.isSound, "case \(number): \(report.findings)")
      await next.stop()
    }
  }

  /// What an operator does first, with an undo layer or without one.
  private static let firsts: [(Bool, @Sendable (Instance) async throws -> Void)] = [
    (false, { _ = try await $0.call(ResizeVolume.self, .init(volume: "disk", sizeBytes: 128 << 20)) }),
    (true, { _ = try await $0.call(CheckVolume.self, .init(volume: "disk")) }),
    (true, { _ = try await $0.call(CommitUndo.self, .init(volume: "disk", requestKey: newKey())) }),
    (
      false,
      {
        _ = try await $0.call(CreateSnapshot.self, .init(volume: "disk", snapshot: "one", requestKey: newKey()))
        _ = try await $0.call(DeleteSnapshot.self, .init(volume: "disk", snapshot: "one", requestKey: newKey()))
        try await $0.allJobsEnded()
      }
    ),
  ]

  @Test func `a leg that was away meanwhile gets what was not flushed, too`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk", size: 64 << 20, undo: true)
    let device = try await storage.export("disk")
    let name = device.session.exportName
    try write(0..<30, to: device)
    try host.shoot(.io1)
    try write(30..<60, to: device)
    await storage.kill(device)
    try host.bringBack(.io1)
    let next = try await host.start()
    let again = try await next.connect(to: name)
    try check(0..<60, on: again)
    again.close()
    await next.stop()
  }

  @Test func `a log that contradicts its layer is told of, and says what to do`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk", size: 64 << 20)
    let device = try await storage.export("disk")
    let name = device.session.exportName
    try write(0..<10, to: device)
    await storage.kill(device)
    let directory = "\(host.root)/run/metadata"
    let log = try #require(FileManager.default.contentsOfDirectory(atPath: directory).first)
    let file = try #require(FileHandle(forUpdatingAtPath: "\(directory)/\(log)"))
    try file.seek(toOffset: 4096)
    // The entry of a block far behind the last.
    try file.write(contentsOf: Data([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]))
    try file.close()
    let next = try await host.start()
    let error = await failure { try await next.connect(to: name) }
    let message = error?.message ?? ""
    #expect(error?.matches(StorageFailure.damagedLayer) == true, "\(message)")
    #expect(message.contains("remove \(directory)"), "\(message)")
    try FileManager.default.removeItem(atPath: "\(directory)/\(log)")
    let again = try await next.connect(to: name)
    again.close()
    await next.stop()
  }
}
