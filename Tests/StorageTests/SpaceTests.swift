import BlockLayers
import Foundation
import Glibc
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

/// File systems of a few MiB on both legs, where this process may mount them. Unmounted with the object.
final class SmallLegs: Sendable {
  let host: TestHost

  init(mebibytes: Int) throws {
    host = try TestHost()
    for leg in LegID.allCases {
      let directory = "\(host.root)/\(leg)"
      try #require(mount("tmpfs", directory, "tmpfs", 0, "size=\(mebibytes)m") == 0)
      try FileManager.default.createDirectory(atPath: "\(directory)/storage", withIntermediateDirectories: true)
    }
  }

  deinit { for leg in LegID.allCases { umount2("\(host.root)/\(leg)", Int32(MNT_DETACH)) } }

  private func filler(_ leg: LegID) -> String { "\(host.root)/\(leg)/filler" }

  /// Takes all the space there is.
  func fill(_ leg: LegID) throws {
    let descriptor = open(filler(leg), O_WRONLY | O_CREAT | O_APPEND, 0o600)
    try #require(descriptor >= 0)
    let bytes = [UInt8](repeating: 1, count: 4096)
    while Glibc.write(descriptor, bytes, bytes.count) > 0 {}
    close(descriptor)
  }

  func empty(_ leg: LegID) { unlink(filler(leg)) }

  /// Whether file systems can be mounted here.
  static let arePossible: Bool = {
    let directory = FileManager.default.temporaryDirectory.path + "/ftvs-mount-\(getpid())"
    mkdir(directory, 0o700)
    defer { rmdir(directory) }
    guard mount("tmpfs", directory, "tmpfs", 0, "size=1m") == 0 else { return false }
    umount2(directory, Int32(MNT_DETACH))
    return true
  }()
}

@Suite(.timeLimit(.minutes(1)), .enabled(if: SmallLegs.arePossible, "needs the right to mount a tmpfs"))
struct SpaceTests {
  private let data = [UInt8](repeating: 3, count: 1 << 20)

  @Test func aLegThatIsFullIsDroppedAndTheWriteIsDoneOnTheOther() async throws {
    let small = try SmallLegs(mebibytes: 24)
    let storage = try await small.host.start()
    try await storage.create("disk")
    let device = try await storage.export("disk")
    try small.fill(.io1)
    try device.write(data, at: 0)
    try device.flush()
    #expect(try await small.host.alerts.first("legLost").subject == "io1")
    #expect(try device.bytes(at: 0, count: data.count) == data)
    device.close()
    await storage.stop()
  }

  @Test func whenBothLegsAreFullAWriteFailsAndLaterOnesWork() async throws {
    let small = try SmallLegs(mebibytes: 24)
    let storage = try await small.host.start()
    try await storage.create("disk")
    let device = try await storage.export("disk")
    try device.write(data, at: 0)
    try device.flush()
    try small.fill(.io0)
    try small.fill(.io1)
    let error = #expect(throws: BlockError.self) { try device.write(data, at: 4 << 20) }
    #expect(error?.kind == .noSpace)
    #expect(try await small.host.alerts.first("outOfSpace").subject == "disk")
    #expect(try device.bytes(at: 0, count: data.count) == data)
    #expect(storage.service.legs.inStep == [.io0, .io1])
    small.empty(.io0)
    small.empty(.io1)
    try device.write(data, at: 4 << 20)
    try device.flush()
    #expect(try device.bytes(at: 4 << 20, count: data.count) == data)
    device.close()
    await storage.stop()
    #expect(try small.host.legsAreEqual())
  }

  @Test func aVolumeCanBeDeletedWhenNotAByteIsLeft() async throws {
    let small = try SmallLegs(mebibytes: 24)
    let storage = try await small.host.start()
    try await storage.create("disk")
    try await storage.write("content", to: "disk", at: 0)
    try small.fill(.io0)
    try small.fill(.io1)
    let error = await failure { try await storage.create("another") }
    #expect(error != nil)
    #expect(try await storage.call(DeleteVolume.self, .init(volume: "disk")).deleted)
    #expect(try await storage.call(ListVolumes.self, Nothing()).volumes.isEmpty)
    await storage.stop()
  }

  @Test func aClientGetsItsVolumeBackAlsoWhenNotAByteIsLeft() async throws {
    let small = try SmallLegs(mebibytes: 24)
    let storage = try await small.host.start()
    try await storage.create("disk")
    let export = try await storage.call(ExportVolume.self, .init(volume: "disk", clientUserID: 1000))
    let device = try await storage.connect(to: export.exportName)
    try device.write(data, at: 0)
    try device.flush()
    device.close()
    try small.fill(.io0)
    try small.fill(.io1)
    let again = try await storage.connect(to: export.exportName)
    #expect(try again.bytes(at: 0, count: data.count) == data)
    again.close()
    await storage.stop()
  }
}
