import BlockLayers
import Foundation
import GRDB
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

@Suite(.timeLimit(.minutes(1))) struct CheckpointTests {
  private let granule = ChangeMap.granuleBytes

  @Test func `what is written after a checkpoint is what changed, before and after a restart`() async throws {
    let host = try TestHost()
    var storage = try await host.start()
    try await storage.create("disk", size: 64 << 20)
    try await storage.write("before", to: "disk", at: 0)
    let status = try await storage.checkpoint("disk", "first")
    #expect(status.checkpoints.map(\.checkpoint.rawValue) == ["first"])
    #expect(status.checkpoints.first?.snapshot?.rawValue == "first")
    #expect(try await storage.changed("disk", since: "first") == [])
    try await storage.write("after", to: "disk", at: 20 << 20)
    try await storage.write("after", to: "disk", at: (20 << 20) + granule)
    let expected = [(20 << 20)..<(20 << 20) + 2 * granule]
    #expect(try await storage.changed("disk", since: "first") == expected)
    await storage.stop()
    storage = try await host.start()
    #expect(try await storage.changed("disk", since: "first") == expected)
    await storage.stop()
  }

  @Test func `what a client wrote counts after a kill, and little else`() async throws {
    let host = try TestHost()
    var storage = try await host.start()
    try await storage.create("disk", size: 1 << 30)
    try await storage.checkpoint("disk", "first")
    let session = try await storage.export("disk")
    try session.write([UInt8](repeating: 1, count: 4096), at: 300 << 20)
    try session.writeZeroes(at: 500 << 20, count: 512)
    try session.trim(at: 700 << 20, count: 512)
    await storage.kill(session)
    storage = try await host.start()
    let changed = try await storage.changed("disk", since: "first")
    for offset: Int64 in [300 << 20, 500 << 20, 700 << 20] {
      #expect(changed.contains { $0.contains(offset) }, "\(offset)")
    }
    #expect(changed.reduce(0) { $0 + $1.upperBound - $1.lowerBound } < 600 << 20)
    await storage.stop()
  }

  @Test func `each checkpoint has its own changes, under a client, too`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk", size: 64 << 20)
    let session = try await storage.export("disk")
    try await storage.checkpoint("disk", "one")
    try session.write([UInt8](repeating: 1, count: 512), at: 0)
    try await storage.checkpoint("disk", "two")
    try session.write([UInt8](repeating: 2, count: 512), at: 32 << 20)
    try await storage.checkpoint("disk", "three")
    #expect(try await storage.changed("disk", since: "one") == [0..<granule, (32 << 20)..<(32 << 20) + granule])
    #expect(try await storage.changed("disk", since: "one", until: "two") == [0..<granule])
    #expect(try await storage.changed("disk", since: "two") == [(32 << 20)..<(32 << 20) + granule])
    #expect(try await storage.changed("disk", since: "three") == [])
    // The one before takes over what changed since one that is deleted.
    try await storage.deleteCheckpoint("disk", "two")
    try await storage.deleteCheckpoint("disk", "three")
    try session.write([UInt8](repeating: 3, count: 512), at: 48 << 20)
    session.close()
    let status = try await storage.closed("disk")
    #expect(status.checkpoints.map(\.checkpoint.rawValue) == ["one"])
    #expect(
      try await storage.changed("disk", since: "one")
        == [0, 32 << 20, 48 << 20].map { $0..<$0 + granule })
    await storage.stop()
  }

  @Test func `another content counts whole, and that of the checkpoint itself not`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.snapshot("disk", "old")
    try await storage.checkpoint("disk", "new")
    try await storage.write("since", to: "disk", at: 0)
    try await storage.revert("disk", to: "new")
    #expect(try await storage.changed("disk", since: "new") == [0..<granule])
    try await storage.revert("disk", to: "old")
    #expect(try await storage.changed("disk", since: "new") == [0..<8 << 20])
    // From a new one on it is known again.
    try await storage.checkpoint("disk", "newer")
    #expect(try await storage.changed("disk", since: "newer") == [])
    #expect(try await storage.changed("disk", since: "new") == [0..<8 << 20])
    await storage.stop()
  }

  @Test func `what a volume grew by counts as changed`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk", size: 8 << 20)
    try await storage.checkpoint("disk", "first")
    _ = try await storage.call(ResizeVolume.self, .init(volume: "disk", sizeBytes: 64 << 20))
    #expect(try await storage.changed("disk", since: "first") == [(8 << 20)..<64 << 20])
    try await storage.write("new", to: "disk", at: 60 << 20)
    try await storage.checkpoint("disk", "second")
    #expect(try await storage.changed("disk", since: "second") == [])
    await storage.stop()
  }

  @Test func `what an undo layer held counts, committed or discarded`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.checkpoint("disk", "first")
    for (offset, isKept) in [(Int64(0), true), (4 << 20, false)] {
      _ = try await storage.call(EnableUndo.self, .init(volume: "disk"))
      try await storage.write("undo", to: "disk", at: offset)
      if isKept {
        _ = try await storage.call(CommitUndo.self, .init(volume: "disk"))
      } else {
        _ = try await storage.call(DiscardUndo.self, .init(volume: "disk"))
      }
    }
    #expect(try await storage.changed("disk", since: "first") == [0..<granule, (4 << 20)..<(4 << 20) + granule])
    await storage.stop()
  }

  @Test func `what cannot be done is refused with a reason, and a deleted volume leaves nothing`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.checkpoint("disk", "first")
    try await storage.deleteSnapshot("disk", "first")
    #expect(try await storage.show("disk").checkpoints.first?.snapshot == nil)
    #expect(await failure { try await storage.checkpoint("disk", "first") }?.kind == "checkpointExists")
    #expect(await failure { try await storage.deleteCheckpoint("disk", "other") }?.kind == "noSuchCheckpoint")
    #expect(await failure { try await storage.deleteCheckpoint("other", "first") }?.kind == "noSuchVolume")
    for index in 1..<StorageLimits.checkpoints {
      try await storage.checkpoint("disk", .init(unchecked: "c\(index)"))
    }
    #expect(await failure { try await storage.checkpoint("disk", "more") }?.kind == "tooManyCheckpoints")
    try await storage.write("text", to: "disk", at: 0)
    _ = try await storage.call(DeleteVolume.self, .init(volume: "disk"))
    let rows = try await storage.state.read { database in
      try Int.fetchOne(database, sql: "SELECT (SELECT count(*) FROM checkpoint) + (SELECT count(*) FROM changedSpan)")
    }
    #expect(rows == 0)
    try await storage.create("disk")
    #expect(try await storage.show("disk").checkpoints == [])
    await storage.stop()
  }

  @Test func `a kill at each step of a deletion leaves the changes of the others`() async throws {
    let host = try TestHost()
    var storage = try await host.start()
    try await storage.create("disk")
    try await storage.checkpoint("disk", "one")
    try await storage.write("1", to: "disk", at: 0)
    try await storage.checkpoint("disk", "two")
    try await storage.write("2", to: "disk", at: 4 << 20)
    await storage.stop()
    struct Stop: Error {}
    storage = try await host.start { step in if step.hasPrefix("deleteCheckpoint") { throw Stop() } }
    #expect(await failure { try await storage.deleteCheckpoint("disk", "two") } != nil)
    await storage.kill()
    storage = try await host.start()
    #expect(try await storage.changed("disk", since: "two") == [(4 << 20)..<(4 << 20) + granule])
    let key = newKey()
    for _ in 0..<2 { try await storage.deleteCheckpoint("disk", "two", key: key) }
    #expect(try await storage.changed("disk", since: "one") == [0..<granule, (4 << 20)..<(4 << 20) + granule])
    await storage.stop()
  }
}

extension CheckpointName: ExpressibleByStringLiteral {
  public init(stringLiteral value: String) { self.init(unchecked: value) }
}

extension Instance {
  /// A snapshot with a checkpoint of the same name.
  @discardableResult
  func checkpoint(_ volume: VolumeName, _ name: CheckpointName) async throws -> VolumeStatus {
    try await call(
      CreateSnapshot.self,
      .init(volume: volume, snapshot: SnapshotName(unchecked: name.rawValue), checkpoint: name))
  }

  @discardableResult
  func deleteCheckpoint(
    _ volume: VolumeName, _ name: CheckpointName, key: RequestKey? = nil
  ) async throws -> VolumeStatus {
    try await call(DeleteCheckpoint.self, .init(volume: volume, checkpoint: name, requestKey: key))
  }

  /// The volume, once its last client is gone and its layers are closed.
  func closed(_ volume: VolumeName) async throws -> VolumeStatus {
    while service.table.stack(of: volume) != nil { await Task.yield() }
    try await service.locks.with(volume.rawValue, for: "a test") { () throws(RPCError) in }
    return try await show(volume)
  }

  /// What changed in a volume between two checkpoints, or since one.
  func changed(
    _ volume: VolumeName, since older: CheckpointName, until newer: CheckpointName? = nil
  ) async throws -> [Range<Int64>] {
    let chain = try await service.chain(of: volume)
    let first = try #require(chain.checkpoints.first { $0.name == older })
    let last = chain.checkpoints.first { $0.name == newer }
    let found = try await state.read { database in
      try Catalog.changes(
        of: volume, since: first.id, until: last?.id, sizeBytes: last?.sizeBytes ?? chain.volume.sizeBytes, in: database
      )
    }
    let map = try #require(found)
    var ranges: [Range<Int64>] = []
    var offset: Int64 = 0
    while offset < map.sizeBytes {
      let (count, changed) = map.run(at: offset)
      if changed { ranges.append(offset..<offset + count) }
      offset += count
    }
    return ranges
  }
}
