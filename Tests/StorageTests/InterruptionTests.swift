import Primitives
import RPC
import StorageAPI
import Synchronization
import Testing

@testable import StorageCore

/// An operation that ends before its n-th step, as by a kill; nothing runs after that.
final class Interruption: Sendable {
  struct Stopped: Error {}

  private let left: Mutex<Int>
  var wasReached: Bool { left.withLock { $0 < 0 } }

  init(before step: Int) { left = Mutex(step) }

  func step() throws {
    try left.withLock { left in
      if left >= 0 { left -= 1 }
      if left < 0 { throw Stopped() }
    }
  }
}

@Suite struct InterruptionTests {
  /// Runs `operation` with a kill before each of its steps in turn. After each the next instance must find all in order,
  /// and the repeat of the operation must leave the same as the first would have.
  private func interruptEverywhere(
    prepare: (Instance) async throws -> Void,
    operation: @Sendable (Instance) async throws -> Void,
    between: (Instance, Int) async throws -> Void,
    after: (Instance, Int) async throws -> Void
  ) async throws {
    for number in 0..<40 {
      let host = try TestHost()
      let first = try await host.start()
      try await prepare(first)
      await first.stop()

      let interruption = Interruption(before: number)
      let isArmed = Atomic(false)
      let second = try await host.start { _ in
        if isArmed.load(ordering: .acquiring) { try interruption.step() }
      }
      isArmed.store(true, ordering: .releasing)
      let error = await failure { try await operation(second) }
      await second.kill()

      let third = try await host.start()
      try await between(third, number)
      try await operation(third)
      try await after(third, number)
      try await third.requireNoStrayFiles("killed before step \(number)")
      #expect(try host.legsAreEqual(), "killed before step \(number)")
      await third.stop()
      if !interruption.wasReached {
        #expect(error == nil)
        #expect(number > 1)
        return
      }
    }
    Issue.record("the operation never ended")
  }

  @Test func creatingIsAllOrNothing() async throws {
    let params = CreateVolume.Params(volume: "clone", image: "base", undo: true, requestKey: newKey())
    try await interruptEverywhere { storage in
      try await storage.create("golden")
      try await storage.write("golden", to: "golden", at: 0)
      _ = try await storage.call(PromoteVolume.self, .init(volume: "golden", image: "base"))
    } operation: { (storage: Instance) async throws in
      _ = try await storage.call(CreateVolume.self, params)
    } between: { (storage: Instance, number: Int) async throws in
      let volumes = try await storage.call(ListVolumes.self, Nothing()).volumes
      if let volume = volumes.first {
        #expect(volume.layers.count == 3, "step \(number)")
        #expect(try await storage.text(of: "clone", at: 0) == "golden", "step \(number)")
      }
      try await storage.requireNoStrayFiles("step \(number)")
    } after: { (storage: Instance, number: Int) async throws in
      #expect(try await storage.text(of: "clone", at: 0) == "golden", "step \(number)")
    }
  }

  @Test func deletingLeavesNothingBehind() async throws {
    try await interruptEverywhere { storage in
      try await storage.create("disk", undo: true)
    } operation: { (storage: Instance) async throws in
      _ = try await storage.call(DeleteVolume.self, .init(volume: "disk"))
    } between: { (storage: Instance, number: Int) async throws in
      try await storage.requireNoStrayFiles("step \(number)")
    } after: { (storage: Instance, number: Int) async throws in
      #expect(try await storage.call(ListVolumes.self, Nothing()).volumes.isEmpty, "step \(number)")
    }
  }

  @Test func discardingShowsTheOldContentOrTheNew() async throws {
    let params = DiscardUndo.Params(volume: "disk", keepEnabled: true, requestKey: newKey())
    try await interruptEverywhere { storage in
      try await storage.create("disk")
      try await storage.write("old", to: "disk", at: 0)
      _ = try await storage.call(EnableUndo.self, .init(volume: "disk"))
      try await storage.write("new", to: "disk", at: 0)
    } operation: { (storage: Instance) async throws in
      _ = try await storage.call(DiscardUndo.self, params)
    } between: { (storage: Instance, number: Int) async throws in
      #expect(["old", "new"].contains(try await storage.text(of: "disk", at: 0)), "step \(number)")
      try await storage.requireNoStrayFiles("step \(number)")
    } after: { (storage: Instance, number: Int) async throws in
      #expect(try await storage.text(of: "disk", at: 0) == "old", "step \(number)")
      #expect(try await storage.show("disk").layers.map(\.role) == [.undo, .base], "step \(number)")
    }
  }

  @Test func aCommitThatBeganIsFinishedByTheNextInstance() async throws {
    let params = CommitUndo.Params(volume: "disk", keepEnabled: true, requestKey: newKey())
    try await interruptEverywhere { storage in
      try await storage.create("disk")
      try await storage.write("old", to: "disk", at: 0)
      try await storage.write("below", to: "disk", at: 1 << 20)
      _ = try await storage.call(EnableUndo.self, .init(volume: "disk"))
      try await storage.write("new", to: "disk", at: 0)
    } operation: { (storage: Instance) async throws in
      _ = try await storage.call(CommitUndo.self, params)
    } between: { (storage: Instance, number: Int) async throws in
      #expect(try await storage.text(of: "disk", at: 0) == "new", "step \(number)")
      #expect(try await storage.text(of: "disk", at: 1 << 20) == "below", "step \(number)")
    } after: { (storage: Instance, number: Int) async throws in
      #expect(try await storage.text(of: "disk", at: 0) == "new", "step \(number)")
      #expect(try await storage.show("disk").layers.map(\.role) == [.undo, .base], "step \(number)")
      _ = try await storage.call(DiscardUndo.self, .init(volume: "disk"))
      #expect(try await storage.text(of: "disk", at: 0) == "new", "step \(number)")
    }
  }

  @Test func afterAResizeThatWasCutOffTheVolumeCanGetASmallerSizeThanThat() async throws {
    let host = try TestHost()
    let first = try await host.start { if $0 == "resize.commit" { throw Interruption.Stopped() } }
    try await first.create("disk", size: 8 << 20)
    try await first.write("old", to: "disk", at: 0)
    let larger = ResizeVolume.Params(volume: "disk", sizeBytes: 16 << 20)
    #expect(await failure { try await first.call(ResizeVolume.self, larger) } != nil)
    await first.kill()
    let second = try await host.start()
    #expect(try await second.show("disk").sizeBytes == 8 << 20)
    let resized = try await second.call(ResizeVolume.self, .init(volume: "disk", sizeBytes: 12 << 20))
    #expect(resized.sizeBytes == 12 << 20)
    #expect(try await second.text(of: "disk", at: 0) == "old")
    #expect(try await second.text(of: "disk", at: (12 << 20) - 512) == "")
    await second.stop()
  }

  @Test func aVolumeIsMarkedAsWrittenAsLongAsItsCommitGoesOn() async throws {
    let host = try TestHost()
    let stop: @Sendable (String) throws -> Void = { if $0 == "commitUndo.copy" { throw Interruption.Stopped() } }
    let first = try await host.start(beforeStep: stop)
    try await first.create("disk", undo: true)
    try await first.write("new", to: "disk", at: 0)
    #expect(await failure { try await first.call(CommitUndo.self, .init(volume: "disk")) } != nil)
    await first.kill()
    // The next instance begins the copy again, and is killed under it.
    let second = try await host.start(beforeStep: stop)
    let marked = try await second.state.read { database in try Catalog.volume("disk", in: database)?.openForWriting }
    #expect(marked == true)
    await second.kill()
    let third = try await host.start()
    #expect(try await third.text(of: "disk", at: 0) == "new")
    #expect(try await third.show("disk").layers.map(\.role) == [.base])
    let isMarked = try await third.state.read { database in try Catalog.volume("disk", in: database)?.openForWriting }
    #expect(isMarked == false)
    await third.stop()
  }

  @Test func promotingMakesAVolumeOrAnImageAndNeverBoth() async throws {
    let params = PromoteVolume.Params(volume: "golden", image: "base", requestKey: newKey())
    try await interruptEverywhere { storage in
      try await storage.create("golden")
      try await storage.write("golden", to: "golden", at: 0)
    } operation: { (storage: Instance) async throws in
      _ = try await storage.call(PromoteVolume.self, params)
    } between: { (storage: Instance, number: Int) async throws in
      let volumes = try await storage.call(ListVolumes.self, Nothing()).volumes.count
      let images = try await storage.call(ListImages.self, Nothing()).images.count
      #expect(volumes + images == 1, "step \(number)")
      if volumes == 1 { #expect(try await storage.text(of: "golden", at: 0) == "golden", "step \(number)") }
      try await storage.requireNoStrayFiles("step \(number)")
    } after: { (storage: Instance, number: Int) async throws in
      try await storage.create("clone", size: nil, image: "base")
      #expect(try await storage.text(of: "clone", at: 0) == "golden", "step \(number)")
    }
  }

  @Test func deletingAnImageLeavesNothingBehind() async throws {
    try await interruptEverywhere { storage in
      try await storage.create("golden")
      _ = try await storage.call(PromoteVolume.self, .init(volume: "golden", image: "base"))
    } operation: { (storage: Instance) async throws in
      _ = try await storage.call(DeleteImage.self, .init(image: "base"))
    } between: { (storage: Instance, number: Int) async throws in
      try await storage.requireNoStrayFiles("step \(number)")
    } after: { (storage: Instance, number: Int) async throws in
      #expect(try await storage.call(ListImages.self, Nothing()).images.isEmpty, "step \(number)")
    }
  }

  @Test func `taking a snapshot is all or nothing`() async throws {
    let params = CreateSnapshot.Params(volume: "disk", snapshot: "first", requestKey: newKey())
    try await interruptEverywhere { storage in
      try await storage.create("disk")
      try await storage.write("old", to: "disk", at: 0)
    } operation: { (storage: Instance) async throws in
      _ = try await storage.call(CreateSnapshot.self, params)
    } between: { (storage: Instance, number: Int) async throws in
      let status = try await storage.show("disk")
      #expect(status.layers.count == status.snapshots.count + 1, "step \(number)")
      #expect(try await storage.text(of: "disk", at: 0) == "old", "step \(number)")
      try await storage.requireNoStrayFiles("step \(number)")
    } after: { (storage: Instance, number: Int) async throws in
      try await storage.write("new", to: "disk", at: 0)
      try await storage.revert("disk", to: "first")
      #expect(try await storage.text(of: "disk", at: 0) == "old", "step \(number)")
    }
  }

  @Test func `reverting shows the old content or the new`() async throws {
    let params = RevertToSnapshot.Params(volume: "disk", snapshot: "first", requestKey: newKey())
    try await interruptEverywhere { storage in
      try await storage.create("disk")
      try await storage.write("old", to: "disk", at: 0)
      try await storage.snapshot("disk", "first")
      try await storage.write("new", to: "disk", at: 0)
    } operation: { (storage: Instance) async throws in
      _ = try await storage.call(RevertToSnapshot.self, params)
    } between: { (storage: Instance, number: Int) async throws in
      #expect(["old", "new"].contains(try await storage.text(of: "disk", at: 0)), "step \(number)")
      try await storage.requireNoStrayFiles("step \(number)")
    } after: { (storage: Instance, number: Int) async throws in
      #expect(try await storage.text(of: "disk", at: 0) == "old", "step \(number)")
      #expect(try await storage.show("disk").layers.count == 2, "step \(number)")
    }
  }

  @Test func `a merge that is cut off anywhere is gone on with, and nothing reads differently`() async throws {
    let params = DeleteSnapshot.Params(volume: "disk", snapshot: "second", requestKey: newKey())
    try await interruptEverywhere { storage in
      try await storage.create("disk")
      for (index, name) in (["first", "second", "third"] as [SnapshotName]).enumerated() {
        try await storage.write(name.rawValue, to: "disk", at: 0)
        try await storage.write(name.rawValue, to: "disk", at: Int64(index + 1) << 20)
        try await storage.snapshot("disk", name)
      }
      try await storage.write("now", to: "disk", at: 0)
    } operation: { (storage: Instance) async throws in
      #expect(try await storage.ended(try await storage.call(DeleteSnapshot.self, params)).state == .done)
    } between: { (storage: Instance, number: Int) async throws in
      #expect(try await storage.text(of: "disk", at: 0) == "now", "step \(number)")
      #expect(try await storage.text(of: "disk", at: 2 << 20) == "second", "step \(number)")
    } after: { (storage: Instance, number: Int) async throws in
      try await storage.allJobsEnded()
      #expect(try await storage.show("disk").layers.count == 3, "step \(number)")
      #expect(try await storage.text(of: "disk", at: 0) == "now", "step \(number)")
      try await storage.revert("disk", to: "third")
      #expect(try await storage.text(of: "disk", at: 0) == "third", "step \(number)")
      #expect(try await storage.text(of: "disk", at: 2 << 20) == "second", "step \(number)")
      try await storage.revert("disk", to: "first")
      #expect(try await storage.text(of: "disk", at: 0) == "first", "step \(number)")
      #expect(try await storage.text(of: "disk", at: 2 << 20) == "", "step \(number)")
    }
  }

  @Test func `deleting the last snapshot is gone on with and leaves one layer`() async throws {
    let params = DeleteSnapshot.Params(volume: "disk", snapshot: "only", requestKey: newKey())
    try await interruptEverywhere { storage in
      try await storage.create("disk")
      try await storage.write("kept", to: "disk", at: 1 << 20)
      try await storage.snapshot("disk", "only")
      try await storage.write("now", to: "disk", at: 0)
    } operation: { (storage: Instance) async throws in
      #expect(try await storage.ended(try await storage.call(DeleteSnapshot.self, params)).state == .done)
    } between: { (storage: Instance, number: Int) async throws in
      #expect(try await storage.text(of: "disk", at: 0) == "now", "step \(number)")
    } after: { (storage: Instance, number: Int) async throws in
      try await storage.allJobsEnded()
      #expect(try await storage.show("disk").layers.map(\.role) == [.base], "step \(number)")
      #expect(try await storage.text(of: "disk", at: 0) == "now", "step \(number)")
      #expect(try await storage.text(of: "disk", at: 1 << 20) == "kept", "step \(number)")
    }
  }

  @Test func `flattening that is cut off is gone on with by the next instance`() async throws {
    let params = FlattenVolume.Params(volume: "clone", requestKey: newKey())
    try await interruptEverywhere { storage in
      try await storage.makeImage("base", text: "golden")
      try await storage.create("clone", size: nil, image: "base")
      try await storage.write("own", to: "clone", at: 1 << 20)
    } operation: { (storage: Instance) async throws in
      #expect(try await storage.ended(try await storage.call(FlattenVolume.self, params)).state == .done)
    } between: { (_: Instance, _: Int) async throws in
    } after: { (storage: Instance, number: Int) async throws in
      try await storage.allJobsEnded()
      #expect(try await storage.show("clone").layers.map(\.role) == [.base], "step \(number)")
      #expect(try await storage.text(of: "clone", at: 0) == "golden", "step \(number)")
      #expect(try await storage.text(of: "clone", at: 1 << 20) == "own", "step \(number)")
    }
  }

  @Test func `capturing that is cut off is gone on with by the next instance`() async throws {
    let params = CaptureVolume.Params(volume: "disk", image: "copy", requestKey: newKey())
    try await interruptEverywhere { storage in
      try await storage.create("disk")
      try await storage.write("content", to: "disk", at: 0)
    } operation: { (storage: Instance) async throws in
      #expect(try await storage.ended(try await storage.call(CaptureVolume.self, params)).state == .done)
    } between: { (_: Instance, _: Int) async throws in
    } after: { (storage: Instance, number: Int) async throws in
      try await storage.allJobsEnded()
      try await storage.create("clone", size: nil, image: "copy")
      #expect(try await storage.text(of: "clone", at: 0) == "content", "step \(number)")
      #expect(try await storage.text(of: "disk", at: 0) == "content", "step \(number)")
    }
  }

  @Test func `resizing leaves the old size or the new one`() async throws {
    let params = ResizeVolume.Params(volume: "disk", sizeBytes: 40 << 20)
    try await interruptEverywhere { storage in
      try await storage.create("disk")
      try await storage.write("old", to: "disk", at: 0)
    } operation: { (storage: Instance) async throws in
      _ = try await storage.call(ResizeVolume.self, params)
    } between: { (storage: Instance, number: Int) async throws in
      #expect([8 << 20, 40 << 20].contains(try await storage.show("disk").sizeBytes), "step \(number)")
      #expect(try await storage.text(of: "disk", at: 0) == "old", "step \(number)")
    } after: { (storage: Instance, number: Int) async throws in
      #expect(try await storage.text(of: "disk", at: 39 << 20) == "", "step \(number)")
      #expect(try await storage.text(of: "disk", at: 0) == "old", "step \(number)")
    }
  }
}
