import Foundation
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

@Suite(.timeLimit(.minutes(1))) struct VolumeTests {
  @Test func anEmptyVolumeReadsAsZerosAndIsOnBothLegs() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    let status = try await storage.create("disk")
    #expect(status.sizeBytes == 8 << 20)
    #expect(status.layers.map(\.role) == [.base])
    #expect(status.legs == [.io0, .io1])
    #expect(!status.hasUndoLayer)
    #expect(try await storage.text(of: "disk", at: 4096) == "")
    #expect(try host.legsAreEqual())
    try await storage.requireNoStrayFiles()
    await storage.stop()
  }

  @Test(arguments: ["ab=c", "=abc", "YQ", "YQ===", "Y Q = =", "a"])
  func whatIsNotBase64IsNotWritten(_ data: String) async throws {
    let storage = try await TestHost().start()
    try await storage.create("disk")
    let error = await failure {
      _ = try await storage.call(WriteVolume.self, .init(volume: "disk", offsetBytes: 0, data: data))
    }
    #expect(error?.matches(CommonFailure.invalidParams) == true)
    await storage.stop()
  }

  @Test func whatIsWrittenIsReadByTheNextInstance() async throws {
    let host = try TestHost()
    let first = try await host.start()
    try await first.create("disk")
    try await first.write("hello", to: "disk", at: 512)
    await first.kill()
    let second = try await host.start()
    #expect(try await second.text(of: "disk", at: 512) == "hello")
    #expect(try host.legsAreEqual())
    await second.stop()
  }

  @Test func aRepeatWithTheSameKeyGetsTheFirstAnswerAlsoFromTheNextInstance() async throws {
    let host = try TestHost()
    let first = try await host.start()
    let key = newKey()
    let answer = try await first.create("disk", key: key)
    #expect(try await first.create("disk", key: key) == answer)
    await first.kill()
    let second = try await host.start()
    #expect(try await second.create("disk", key: key) == answer)
    #expect(await failure { try await second.create("disk", key: newKey()) }?.kind == "volumeExists")
    await second.stop()
  }

  @Test(arguments: [Int64(0), -1, 3 << 40, 1000, .max, .min])
  func aSizeThatIsNotAllowedIsRefused(_ size: Int64) async throws {
    let host = try TestHost()
    let storage = try await host.start()
    #expect(await failure { try await storage.create("disk", size: size) }?.kind == "sizeOutOfRange")
    #expect(try await storage.call(ListVolumes.self, Nothing()).volumes.isEmpty)
    await storage.stop()
  }

  @Test func theLargestVolumeCanBeMadeAndTakesLittleSpace() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    let status = try await storage.create("disk", size: 2040 << 30)
    #expect(status.sizeBytes == 2040 << 30)
    #expect((status.layers.first?.allocatedBytes ?? .max) < 8 << 20)
    try await storage.write("end", to: "disk", at: (2040 << 30) - 512)
    #expect(try await storage.text(of: "disk", at: (2040 << 30) - 512) == "end")
    await storage.stop()
  }

  @Test(arguments: ["../x", "a/b", "", ".hidden", "-x", "a b"])
  func aNameThatCouldLeaveItsDirectoryIsRefused(_ name: String) async throws {
    let host = try TestHost()
    let storage = try await host.start()
    let error = await failure { try await storage.create(VolumeName(unchecked: name)) }
    #expect(error?.matches(CommonFailure.invalidParams) == true)
    await storage.stop()
  }

  @Test func aDeletedVolumeLeavesNothingBehind() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk", undo: true)
    #expect(try await storage.call(DeleteVolume.self, .init(volume: "disk")).deleted)
    #expect(try await storage.call(DeleteVolume.self, .init(volume: "disk")).deleted == false)
    #expect(await failure { try await storage.show("disk") }?.kind == "noSuchVolume")
    #expect(try host.files.list(on: .io0).isEmpty)
    #expect(try host.files.list(on: .io1).isEmpty)
    await storage.stop()
  }

  @Test func aVolumeThatTakesTheNameOfADeletedOneHasALaterGeneration() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    let before = try await storage.create("disk").generation
    let fenced = try await storage.call(FenceVolume.self, .init(volume: "disk")).generation
    #expect(fenced > before)
    _ = try await storage.call(DeleteVolume.self, .init(volume: "disk"))
    #expect(try await storage.create("disk").generation > fenced)
    await storage.stop()
  }

  @Test(arguments: [(Int64(-1), 512), (8 << 20, 1), ((8 << 20) - 1, 2), (.max, 4096)])
  func bytesOutsideOfTheVolumeAreRefused(_ offset: Int64, _ count: Int) async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    let reading = await failure {
      try await storage.call(ReadVolume.self, .init(volume: "disk", offsetBytes: offset, countBytes: count))
    }
    #expect(reading?.kind == "outOfRange")
    let data = Data(count: count).base64EncodedString()
    let writing = await failure {
      try await storage.call(WriteVolume.self, .init(volume: "disk", offsetBytes: offset, data: data))
    }
    #expect(writing?.kind == "outOfRange")
    await storage.stop()
  }

  @Test func dataThatIsNoBase64IsRefused() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    let error = await failure {
      try await storage.call(WriteVolume.self, .init(volume: "disk", offsetBytes: 0, data: "!!!"))
    }
    #expect(error?.matches(CommonFailure.invalidParams) == true)
    await storage.stop()
  }

  @Test func aDamagedLayerIsReportedAndNeverServed() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    let status = try await storage.create("disk")
    let layer = try #require(status.layers.first?.layer)
    for leg in LegID.allCases {
      try Data(repeating: 7, count: 4096).write(to: URL(filePath: "\(host.leg(leg))/volumes/disk/\(layer).vhd"))
    }
    #expect(await failure { try await storage.text(of: "disk", at: 0) }?.kind == "damagedLayer")
    #expect(try await host.alerts.first("damagedLayer").severity == .critical)
    await storage.stop()
  }
}
