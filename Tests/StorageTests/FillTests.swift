import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

/// Jobs that fill a layer: flatten, rebase, capture.
@Suite(.timeLimit(.minutes(1))) struct FillTests {
  @Test func `a flattened volume needs its image no longer`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.makeImage("base", text: "golden")
    try await storage.create("clone", size: nil, image: "base")
    try await storage.write("own", to: "clone", at: 1 << 20)
    let job = try await storage.ended(try await storage.call(FlattenVolume.self, .init(volume: "clone")))
    #expect(job.state == .done)
    #expect(job.doneBytes == 8 << 20)
    #expect(try await storage.call(DeleteImage.self, .init(image: "base")).deleted)
    #expect(try await storage.show("clone").layers.map(\.role) == [.base])
    #expect(try await storage.text(of: "clone", at: 0) == "golden")
    #expect(try await storage.text(of: "clone", at: 1 << 20) == "own")
    try await storage.requireNoStrayFiles()
    #expect(try host.legsAreEqual())
    await storage.stop()
  }

  @Test func `a rebased volume has the same content on another image`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.makeImage("old", text: "old")
    try await storage.makeImage("new", text: "new")
    try await storage.create("clone", size: nil, image: "old")
    try await storage.write("own", to: "clone", at: 1 << 20)
    let job = try await storage.call(RebaseVolume.self, .init(volume: "clone", image: "new"))
    #expect(try await storage.ended(job).state == .done)
    let status = try await storage.show("clone")
    #expect(status.image == "new")
    #expect(status.layers.map(\.role) == [.differencing, .base])
    #expect(try await storage.text(of: "clone", at: 0) == "old")
    #expect(try await storage.text(of: "clone", at: 1 << 20) == "own")
    #expect(try await storage.call(DeleteImage.self, .init(image: "old")).deleted)
    await storage.stop()
  }

  @Test func `a captured image stands alone, and the volume stays`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.makeImage("base", text: "golden")
    try await storage.create("clone", size: nil, image: "base")
    try await storage.write("then", to: "clone", at: 512)
    try await storage.snapshot("clone", "first")
    try await storage.write("now", to: "clone", at: 512)
    for (snapshot, image) in [("first", "then"), (nil, "now")] as [(SnapshotName?, ImageName)] {
      let job = try await storage.call(
        CaptureVolume.self, .init(volume: "clone", snapshot: snapshot, image: image, description: "a copy"))
      #expect(try await storage.ended(job).state == .done)
    }
    _ = try await storage.call(DeleteVolume.self, .init(volume: "clone"))
    #expect(try await storage.call(DeleteImage.self, .init(image: "base")).deleted)
    for image in ["then", "now"] as [ImageName] {
      let volume = VolumeName(unchecked: "from-\(image)")
      try await storage.create(volume, size: nil, image: image)
      #expect(try await storage.text(of: volume, at: 0) == "golden")
      #expect(try await storage.text(of: volume, at: 512) == image.rawValue)
    }
    #expect(try await storage.call(ListImages.self, Nothing()).images.map(\.description) == ["a copy", "a copy"])
    await storage.stop()
  }

  @Test func `a cancelled job leaves everything as it was`() async throws {
    let host = try TestHost()
    let hold = Hold("fill.copy")
    let storage = try await host.start(beforeStep: hold.step)
    try await storage.makeImage("base", text: "golden")
    try await storage.create("clone", size: nil, image: "base")
    let job = try await storage.call(FlattenVolume.self, .init(volume: "clone"))
    async let cancelled = storage.call(CancelJob.self, .init(job: job.job))
    while !storage.service.jobs.isCancelled(job.job) { try await Task.sleep(for: .milliseconds(1)) }
    hold.release()
    #expect(try await cancelled.state == .cancelled)
    #expect(try await storage.show("clone").layers.count == 2)
    #expect(try await storage.text(of: "clone", at: 0) == "golden")
    try await storage.requireNoStrayFiles()
    await storage.stop()
  }

  @Test func `deleting a volume ends the job that works on it`() async throws {
    let host = try TestHost()
    let hold = Hold("fill.copy")
    let storage = try await host.start(beforeStep: hold.step)
    try await storage.makeImage("base", text: "golden")
    try await storage.create("clone", size: nil, image: "base")
    let job = try await storage.call(FlattenVolume.self, .init(volume: "clone"))
    async let deleted = storage.call(DeleteVolume.self, .init(volume: "clone"))
    while !storage.service.jobs.isCancelled(job.job) { try await Task.sleep(for: .milliseconds(1)) }
    hold.release()
    #expect(try await deleted.deleted)
    #expect(try await storage.call(ShowJob.self, .init(job: job.job)).state == .cancelled)
    #expect(try await storage.call(DeleteImage.self, .init(image: "base")).deleted)
    #expect(try host.files.list(on: .io0).isEmpty)
    await storage.stop()
  }

  @Test func `what cannot be filled is refused with a reason`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.makeImage("base", text: "golden")
    try await storage.makeImage("large", text: "large", size: 16 << 20)
    try await storage.create("undoable", size: nil, image: "base", undo: true)
    try await storage.create("kept", size: nil, image: "base")
    try await storage.snapshot("kept", "first")
    try await storage.create("clone", size: nil, image: "base")
    func flatten(_ volume: VolumeName) async -> String? {
      await failure { try await storage.call(FlattenVolume.self, .init(volume: volume)) }?.kind
    }
    #expect(await flatten("undoable") == "undoLayerExists")
    #expect(await flatten("kept") == "snapshotsExist")
    #expect(await flatten("missing") == "noSuchVolume")
    let rebase = await failure { try await storage.call(RebaseVolume.self, .init(volume: "clone", image: "large")) }
    #expect(rebase?.kind == "sizeOutOfRange")
    let capture = await failure { try await storage.call(CaptureVolume.self, .init(volume: "clone", image: "base")) }
    #expect(capture?.kind == "imageExists")
    #expect(await failure { try await storage.call(ShowJob.self, .init(job: 99)) }?.kind == "noSuchJob")
    try await storage.requireNoStrayFiles()
    await storage.stop()
  }
}
