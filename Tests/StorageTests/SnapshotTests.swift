import BlockLayers
import Foundation
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

@Suite(.timeLimit(.minutes(1))) struct SnapshotTests {
  @Test func `a volume that is reverted has the snapshot's content, again and again`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.write("one", to: "disk", at: 0)
    try await storage.snapshot("disk", "first")
    for text in ["two", "three"] {
      try await storage.write(text, to: "disk", at: 0)
      #expect(try await storage.text(of: "disk", at: 0) == text)
      try await storage.revert("disk", to: "first")
      #expect(try await storage.text(of: "disk", at: 0) == "one")
    }
    try await storage.requireNoStrayFiles()
    await storage.stop()
  }

  @Test func `snapshots are a tree, and each branch keeps its content`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.write("root", to: "disk", at: 0)
    try await storage.snapshot("disk", "root")
    try await storage.write("left", to: "disk", at: 0)
    try await storage.snapshot("disk", "left")
    try await storage.revert("disk", to: "root")
    try await storage.write("right", to: "disk", at: 0)
    let status = try await storage.snapshot("disk", "right")
    #expect(status.snapshots.map(\.snapshot.rawValue) == ["root", "left", "right"])
    #expect(status.snapshots.map { $0.parent?.rawValue } == [nil, "root", "root"])
    #expect(status.snapshots.map(\.isCurrent) == [false, false, true])
    try await storage.revert("disk", to: "left")
    #expect(try await storage.text(of: "disk", at: 0) == "left")
    try await storage.revert("disk", to: "right")
    #expect(try await storage.text(of: "disk", at: 0) == "right")
    _ = try await storage.call(DeleteVolume.self, .init(volume: "disk"))
    #expect(try host.files.list(on: .io0).isEmpty)
    await storage.stop()
  }

  @Test func `a deleted snapshot leaves the content and one layer less`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.write("kept", to: "disk", at: 1 << 20)
    try await storage.write("old", to: "disk", at: 0)
    try await storage.snapshot("disk", "first")
    try await storage.write("new", to: "disk", at: 0)
    #expect(try await storage.deleteSnapshot("disk", "first").state == .done)
    let status = try await storage.show("disk")
    #expect(status.layers.map(\.role) == [.base])
    #expect(status.snapshots.isEmpty)
    #expect(try await storage.text(of: "disk", at: 0) == "new")
    #expect(try await storage.text(of: "disk", at: 1 << 20) == "kept")
    try await storage.requireNoStrayFiles()
    #expect(try host.legsAreEqual())
    await storage.stop()
  }

  @Test func `a snapshot with two branches stays until one of them is gone`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.write("root", to: "disk", at: 0)
    try await storage.snapshot("disk", "root")
    try await storage.write("left", to: "disk", at: 512)
    try await storage.snapshot("disk", "left")
    try await storage.revert("disk", to: "root")
    try await storage.write("right", to: "disk", at: 512)
    #expect(try await storage.deleteSnapshot("disk", "root").state == .done)
    let file = try host.files.list(on: .io0).count
    #expect(file == 3)
    #expect(try await storage.text(of: "disk", at: 0) == "root")
    try await storage.revert("disk", to: "left")
    #expect(try await storage.text(of: "disk", at: 512) == "left")
    #expect(try await storage.deleteSnapshot("disk", "left").state == .done)
    #expect(try await storage.show("disk").layers.map(\.role) == [.base])
    #expect(try await storage.text(of: "disk", at: 0) == "root")
    #expect(try await storage.text(of: "disk", at: 512) == "left")
    try await storage.requireNoStrayFiles()
    await storage.stop()
  }

  @Test func `what cannot be done is refused with a reason`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.create("undoable", undo: true)
    try await storage.snapshot("disk", "first")
    #expect(await failure { try await storage.snapshot("disk", "first") }?.kind == "snapshotExists")
    #expect(await failure { try await storage.snapshot("undoable", "first") }?.kind == "undoLayerExists")
    #expect(await failure { try await storage.snapshot("missing", "first") }?.kind == "noSuchVolume")
    #expect(await failure { try await storage.revert("disk", to: "none") }?.kind == "noSuchSnapshot")
    #expect(await failure { try await storage.deleteSnapshot("disk", "none") }?.kind == "noSuchSnapshot")
    let promote = await failure { try await storage.call(PromoteVolume.self, .init(volume: "disk", image: "new")) }
    #expect(promote?.kind == "snapshotsExist")
    try await storage.requireNoStrayFiles()
    await storage.stop()
  }

  @Test func `a chain never has more layers than allowed`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    for index in 0..<StorageLimits.snapshots { try await storage.snapshot("disk", .init(unchecked: "s\(index)")) }
    #expect(await failure { try await storage.snapshot("disk", "more") }?.kind == "tooManyLayers")
    #expect(try await storage.show("disk").layers.count == StorageLimits.snapshots + 1)
    await storage.stop()
  }

  @Test func `an undo layer above a snapshot is committed into the layer between them`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.write("old", to: "disk", at: 0)
    try await storage.snapshot("disk", "first")
    _ = try await storage.call(EnableUndo.self, .init(volume: "disk"))
    try await storage.write("new", to: "disk", at: 0)
    _ = try await storage.call(CommitUndo.self, .init(volume: "disk"))
    #expect(try await storage.text(of: "disk", at: 0) == "new")
    try await storage.revert("disk", to: "first")
    #expect(try await storage.text(of: "disk", at: 0) == "old")
    await storage.stop()
  }

  @Test func `an undo layer is not merged when the snapshot below is deleted`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try await storage.write("old", to: "disk", at: 0)
    try await storage.snapshot("disk", "first")
    _ = try await storage.call(EnableUndo.self, .init(volume: "disk"))
    try await storage.write("new", to: "disk", at: 0)
    #expect(try await storage.deleteSnapshot("disk", "first").state == .done)
    #expect(try await storage.show("disk").layers.map(\.role) == [.undo, .base])
    _ = try await storage.call(DiscardUndo.self, .init(volume: "disk"))
    #expect(try await storage.text(of: "disk", at: 0) == "old")
    await storage.stop()
  }

  @Test func `a repeated call with the same key changes nothing`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    let create = CreateSnapshot.Params(volume: "disk", snapshot: "first", requestKey: newKey())
    _ = try await storage.call(CreateSnapshot.self, create)
    #expect(try await storage.call(CreateSnapshot.self, create).layers.count == 2)
    let delete = DeleteSnapshot.Params(volume: "disk", snapshot: "first", requestKey: newKey())
    let job = try await storage.call(DeleteSnapshot.self, delete)
    try await storage.ended(job)
    #expect(try await storage.call(DeleteSnapshot.self, delete).job == job.job)
    await storage.stop()
  }

  @Test func `while layers are merged nothing is done that would write them`() async throws {
    let host = try TestHost()
    let hold = Hold("merge.fold")
    let storage = try await host.start(beforeStep: hold.step)
    try await storage.create("disk")
    try await storage.write("old", to: "disk", at: 0)
    try await storage.snapshot("disk", "first")
    try await storage.snapshot("disk", "second")
    _ = try await storage.call(EnableUndo.self, .init(volume: "disk"))
    try await storage.write("new", to: "disk", at: 0)
    let job = try await storage.call(DeleteSnapshot.self, .init(volume: "disk", snapshot: "first"))
    #expect(await failure { try await storage.call(DiscardUndo.self, .init(volume: "disk")) }?.kind == "volumeInUse")
    #expect(await failure { try await storage.call(CommitUndo.self, .init(volume: "disk")) }?.kind == "volumeInUse")
    #expect(await failure { try await storage.revert("disk", to: "second") }?.kind == "volumeInUse")
    hold.release()
    #expect(try await storage.ended(job).state == .done)
    _ = try await storage.call(DiscardUndo.self, .init(volume: "disk"))
    #expect(try await storage.text(of: "disk", at: 0) == "old")
    await storage.stop()
  }

  @Test func `a merge that was cut off between the legs is finished, and both legs count`() async throws {
    let host = try TestHost()
    let hold = Interruption(before: 0)
    let first = try await host.start { step in if step == "merge.commit" { try hold.step() } }
    try await first.create("disk")
    try await first.write("old", to: "disk", at: 0)
    try await first.snapshot("disk", "first")
    try await first.write("new", to: "disk", at: 512)
    let (lower, upper) = try await first.layerFiles(of: "disk")
    let kept = "\(host.root)/kept.vhd"
    try FileManager.default.copyItem(atPath: "\(host.leg(.io1))/\(upper)", toPath: kept)
    _ = try await first.call(DeleteSnapshot.self, .init(volume: "disk", snapshot: "first"))
    while !hold.wasReached { try await Task.sleep(for: .milliseconds(2)) }
    await first.kill()
    // On one leg the names are as before, and so is the file that was to be replaced.
    let leg = host.leg(.io1)
    try FileManager.default.moveItem(atPath: "\(leg)/\(upper)", toPath: "\(leg)/\(lower)")
    try FileManager.default.moveItem(atPath: kept, toPath: "\(leg)/\(upper)")

    let second = try await host.start()
    try await second.allJobsEnded()
    #expect(try await second.text(of: "disk", at: 0) == "old")
    #expect(try await second.text(of: "disk", at: 512) == "new")
    #expect(second.service.legs.inStep.count == 2)
    try await second.requireNoStrayFiles()
    await second.stop()
    #expect(try host.legsAreEqual())
  }
}

/// Snapshots of a volume whose client goes on.
@Suite(.timeLimit(.minutes(1))) struct LiveSnapshotTests {
  private func block(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: 4096) }

  @Test func `a snapshot of a volume in use holds what was answered before`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    let session = try await storage.export("disk")
    try session.write(block(1), at: 0)
    try await storage.snapshot("disk", "live")
    try session.write(block(2), at: 0)
    #expect(try session.bytes(at: 0, count: 4096) == block(2))
    #expect(await failure { try await storage.revert("disk", to: "live") }?.kind == "volumeInUse")
    session.close()
    try await storage.revert("disk", to: "live")
    #expect(try await storage.text(of: "disk", at: 0).utf8.first == 1)
    await storage.stop()
  }

  @Test func `a snapshot is deleted under a client, which goes on`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    let session = try await storage.export("disk")
    try session.write(block(1), at: 0)
    try session.write(block(1), at: 1 << 20)
    try await storage.snapshot("disk", "live")
    try session.write(block(2), at: 0)
    #expect(try await storage.deleteSnapshot("disk", "live").state == .done)
    try session.write(block(3), at: 2 << 20)
    #expect(try session.bytes(at: 0, count: 4096) == block(2))
    #expect(try session.bytes(at: 1 << 20, count: 4096) == block(1))
    #expect(try session.bytes(at: 2 << 20, count: 4096) == block(3))
    // What was written meanwhile keeps a layer of its own until nobody uses the volume.
    let layers = try await storage.show("disk").layers
    #expect(layers.count == 2, "\(layers)")
    session.close()
    while try await storage.call(ListJobs.self, Nothing()).jobs.last?.operation != "volume.mergeLayers" {
      try await Task.sleep(for: .milliseconds(2))
    }
    try await storage.allJobsEnded()
    #expect(try await storage.show("disk").layers.count == 1)
    try await storage.requireNoStrayFiles()
    #expect(try host.legsAreEqual())
    await storage.stop()
  }

  @Test func `a client that writes all the time sees every write through snapshots and merges`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    let session = try await storage.export("disk")
    let writer = Writer(session)
    for index in 0..<8 {
      await writer.waitForWrites()
      let name = SnapshotName(unchecked: "s\(index)")
      try await storage.snapshot("disk", name)
      if index % 2 == 1 { #expect(try await storage.deleteSnapshot("disk", name).state == .done) }
    }
    let (content, failures) = await writer.stop()
    #expect(failures.isEmpty)
    #expect(content.count > 8)
    for (offset, byte) in content { #expect(try session.bytes(at: offset, count: 4096) == block(byte)) }
    session.close()
    await storage.stop()
    #expect(try host.legsAreEqual())
  }
}
