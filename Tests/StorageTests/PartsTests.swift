import BlockLayers
import Foundation
import Primitives
import RPC
import Synchronization
import Testing

@testable import StorageCore

@Suite struct PartsTests {
  @Test func anExportNameKeepsTheDotsOfItsVolume() throws {
    let name = try #require(ExportName("my.disk.v2.17"))
    #expect(name.volume.rawValue == "my.disk.v2")
    #expect(name.generation == 17)
    #expect(name.description == "my.disk.v2.17")
  }

  @Test(arguments: [
    "", "disk", "disk.", "disk.0", "disk.-1", "disk.01", "disk.+1", ".1", "../a.1", "disk.99999999999999999999",
  ])
  func whatIsNoExportNameIsRefused(_ text: String) {
    #expect(ExportName(text) == nil)
  }

  @Test func anIdentifierOfALayerSurvivesItsBytes() throws {
    let id = LayerID.random()
    let bytes = try #require(LayerID.bytes(of: id))
    #expect(bytes.count == 16)
    #expect(LayerID.text(of: bytes) == id)
    #expect(LayerID.bytes(of: "../../etc/passwd") == nil)
  }

  @Test(arguments: [
    (Int64?.none, "needs sizeBytes"), (0, "at least 512"), (-1, "at least 512"), (513, "take 1024"),
    (3 << 40, "2040 GiB"), (Int64.max, "2040 GiB"),
  ])
  func sizesThatAreNotAllowedAreExplained(_ size: Int64?, _ words: String) {
    let error = #expect(throws: RPCError.self) { try StorageService.checkedSize(size) }
    #expect(error?.kind == "sizeOutOfRange")
    #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
  }

  @Test func aLockIsRefusedToWhoeverHasWaitedLongEnough() async throws {
    let locks = VolumeLocks()
    try await locks.acquire("disk", for: "volume.commitUndo")
    let error = await #expect(throws: RPCError.self) {
      try await locks.acquire("disk", for: "volume.write", patience: .milliseconds(5))
    }
    #expect(error?.kind == "volumeInUse")
    #expect(error?.data["operation"] == "volume.commitUndo")
    locks.release("disk")
    try await locks.acquire("disk", for: "volume.write", patience: .milliseconds(5))
  }

  @Test func whoeverWaitsForALockGetsItWhenItIsReleased() async throws {
    let locks = VolumeLocks()
    try await locks.acquire("disk", for: "first")
    async let second: Void = locks.acquire("disk", for: "second")
    locks.release("disk")
    try await second
    let error = await #expect(throws: RPCError.self) {
      try await locks.acquire("disk", for: "third", patience: .milliseconds(5))
    }
    #expect(error?.data["operation"] == "second")
  }

  @Test func aGateClosesOnlyWhenNothingIsInFlight() async {
    let gate = SessionGate(to: MemoryDevice(size: 512))
    #expect(gate.enter() != nil)
    let closed = Atomic(false)
    let pool = WorkerPool(name: "test", limit: 1)
    await withCheckedContinuation { continuation in
      pool.submit {
        gate.close()
        closed.store(true, ordering: .releasing)
        continuation.resume()
      }
      while gate.enter() != nil { gate.leave() }
      let early = closed.load(ordering: .acquiring)
      #expect(!early)
      gate.leave()
    }
    let late = closed.load(ordering: .acquiring)
    #expect(late)
    #expect(gate.enter() == nil)
  }

  @Test func `a gate that is paused holds back what begins, and lets it go on to another device`() async throws {
    let (first, second) = (MemoryDevice(size: 512), MemoryDevice(size: 512))
    let gate = SessionGate(to: first)
    gate.pause()
    let entered = Mutex<[ObjectIdentifier]>([])
    let pool = WorkerPool(name: "test", limit: 1)
    async let passed: Void = pool.run {
      if let device = gate.enter() { entered.withLock { $0.append(ObjectIdentifier(device)) } }
    }
    #expect(entered.withLock { $0.isEmpty })
    gate.resume(on: second)
    await passed
    #expect(entered.withLock { $0 } == [ObjectIdentifier(second)])
    gate.leave()
    gate.pause()
    gate.close()
    #expect(gate.enter() == nil)
  }

  @Test func filesOfALegAreListedRenamedAndRemovedWithTheirDirectories() throws {
    let root = FileManager.default.temporaryDirectory.appending(path: "ftvs-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: root) }
    let files = LegFiles(roots: [.io0: root.path])
    try files.makeRoots(on: .io0)
    try files.makeParent(of: "volumes/a/one.vhd", on: .io0)
    try Data("x".utf8).write(to: root.appending(path: "volumes/a/one.vhd"))
    try files.sync("volumes/a/one.vhd", on: .io0)
    try files.link("volumes/a/one.vhd", to: "images/b/one.vhd", on: .io0)
    #expect(try files.list(on: .io0) == ["volumes/a/one.vhd", "images/b/one.vhd"])
    try files.remove("volumes/a/one.vhd", on: .io0)
    try files.remove("volumes/a/one.vhd", on: .io0)
    #expect(try files.list(on: .io0) == ["images/b/one.vhd"])
    #expect(!FileManager.default.fileExists(atPath: root.appending(path: "volumes/a").path))
  }
}
