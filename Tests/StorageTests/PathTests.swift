import BlockLayers
import Foundation
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

@Suite(.timeLimit(.minutes(1))) struct PathTests {
  private func states(_ storage: Instance, _ leg: LegID) async throws -> [StoragePathState] {
    let legs = try await storage.call(GetLegs.self, Nothing()).legs
    return try #require(legs.first { $0.leg == leg }).paths.map(\.state)
  }

  private func wait(_ storage: Instance, _ leg: LegID, _ wanted: [StoragePathState]) async throws {
    while try await states(storage, leg) != wanted { try await Task.sleep(for: .milliseconds(5)) }
  }

  @Test func pathsThatAreCutAndRestoredUnderAClientLoseNoLeg() async throws {
    let host = try TestHost(secondPaths: true)
    let storage = try await host.start()
    try await storage.create("disk")
    #expect(try await states(storage, .io0) == [.active, .standby])
    let device = try await storage.export("disk")
    let writer = Writer(device)
    for leg in LegID.allCases {
      for path in [0, 1] {
        await writer.waitForWrites()
        try host.cut(leg, path)
        try await wait(storage, leg, path == 0 ? [.failed, .active] : [.active, .failed])
        await writer.waitForWrites()
        // Control goes by the other path, too.
        try await storage.create(VolumeName(unchecked: "new-\(leg)-\(path)"), size: 1 << 20)
        host.restore(leg, path)
        storage.service.legs.watchPaths()
        #expect(try await !states(storage, leg).contains(.failed))
      }
    }
    let (content, failures) = await writer.stop()
    #expect(failures.isEmpty, "\(failures.first ?? "")")
    #expect(storage.service.legs.inStep == [.io0, .io1])
    #expect(!host.alerts.entries.contains { $0.kind == "legLost" })
    #expect(host.alerts.entries.filter { $0.kind == "pathLost" }.map(\.subject) == ["io0", "io0", "io1", "io1"])
    #expect(host.alerts.entries.filter { $0.kind == "pathRestored" }.count == 4)
    for (offset, byte) in content {
      #expect(try device.bytes(at: offset, count: 4096) == [UInt8](repeating: byte, count: 4096))
    }
    device.close()
    await storage.stop()
    #expect(try host.legsAreEqual())
  }

  @Test func withBothPathsCutTheLegIsLostAndComesBackByEither() async throws {
    let host = try TestHost(secondPaths: true)
    let storage = try await host.start()
    try await storage.create("disk")
    let device = try await storage.export("disk")
    let writer = Writer(device)
    await writer.waitForWrites()
    try host.cut(.io1, 1)
    try host.cut(.io1, 0)
    #expect(try await host.alerts.first("legLost").subject == "io1")
    await storage.waitForLegs { $0[.io1] == .lost }
    #expect(try await states(storage, .io1) == [.failed, .failed])
    await writer.waitForWrites()
    host.restore(.io1, 1)
    await storage.waitForLegs { $0[.io1] == .inStep }
    #expect(try await states(storage, .io1) == [.failed, .active])
    await writer.waitForWrites()
    let (_, failures) = await writer.stop()
    #expect(failures.isEmpty, "\(failures.first ?? "")")
    device.close()
    await storage.stop()
    #expect(try host.legsAreEqual())
  }

  @Test func anInstanceThatBeginsWithACutPathTakesTheOther() async throws {
    let host = try TestHost(secondPaths: true)
    try host.cut(.io0, 0)
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.write("there", to: "disk", at: 0)
    #expect(storage.service.legs.inStep == [.io0, .io1])
    #expect(try await states(storage, .io0) == [.failed, .active])
    #expect(try await storage.text(of: "disk", at: 0) == "there")
    await storage.stop()
    #expect(try host.legsAreEqual())
  }
}
