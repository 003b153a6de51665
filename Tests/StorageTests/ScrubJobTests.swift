import BlockLayers
import Foundation
import Primitives
import RPC
import StorageAPI
import Synchronization
import Testing

@testable import StorageCore

@Suite(.timeLimit(.minutes(1))) struct ScrubJobTests {
  private func flip(_ host: TestHost, _ path: String, _ leg: LegID, at offset: Int64 = 700) throws {
    let file = try PosixFile(path: host.files.path(path, on: leg), mode: .readWrite)
    var byte: [UInt8] = [0]
    try byte.withUnsafeMutableBytes { try file.read(into: $0, at: offset) }
    byte[0] ^= 1
    try byte.withUnsafeBytes { try file.write($0, at: offset) }
  }

  private func scrub(_ storage: Instance, _ volume: VolumeName) async throws -> JobStatus {
    try await storage.ended(try await storage.call(ScrubVolume.self, .init(volume: volume)))
  }

  @Test func whatAScrubFoundIsShownAndSurvivesTheInstance() async throws {
    let host = try TestHost()
    let first = try await host.start()
    try await first.create("disk")
    #expect(try await first.show("disk").lastScrub == nil)
    let clean = try await scrub(first, "disk")
    #expect(clean.state == .done && clean.operation == "volume.scrub" && clean.subject == "disk")
    #expect(clean.doneBytes == clean.totalBytes && clean.totalBytes > 0)
    let found = try #require(try await first.show("disk").lastScrub)
    #expect(found.checkedBytes == clean.totalBytes && found.repairedBlocksOnIO1 == 0 && found.lostBlocks == 0)
    try flip(host, try #require(try host.files.list(on: .io1).first), .io1)
    #expect(try await scrub(first, "disk").state == .done)
    #expect(try host.legsAreEqual())
    #expect(host.alerts.entries.filter { $0.kind == "blocksRepaired" }.count == 1)
    await first.stop()
    let second = try await host.start()
    let kept = try #require(try await second.show("disk").lastScrub)
    #expect(kept.repairedBlocksOnIO1 == 1 && kept.repairedBlocksOnIO0 == 0)
    #expect(kept.endedMilliseconds >= found.endedMilliseconds)
    _ = try await second.call(DeleteVolume.self, .init(volume: "disk"))
    try await second.create("disk")
    #expect(try await second.show("disk").lastScrub == nil)
    await second.stop()
  }

  @Test func imagesAndThePeriodicScrubAreReportedOfToo() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.makeImage("base", text: "golden")
    try await storage.create("clone", size: nil, image: "base")
    await storage.service.scrub()
    #expect(try await storage.show("clone").lastScrub != nil)
    let path = try #require(try host.files.list(on: .io0).first { $0.hasPrefix("images/") })
    for leg in LegID.allCases { try flip(host, path, leg) }
    let job = try await storage.ended(try await storage.call(ScrubImage.self, .init(image: "base")))
    #expect(job.state == .done && job.subject == "base")
    let images = try await storage.call(ListImages.self, Nothing()).images
    #expect(images.first?.lastScrub?.lostBlocks == 1)
    #expect(try await host.alerts.first("blocksLost").subject == "base")
    await storage.stop()
  }

  @Test func theNextInstanceGoesOnAndKnowsWhatWasFound() async throws {
    let host = try TestHost()
    let isKilled = Atomic(false)
    let first = try await host.start { step in
      if step == "scrub.commit" { isKilled.store(true, ordering: .releasing) }
      if isKilled.load(ordering: .acquiring) { throw CancellationError() }
    }
    try await first.create("disk")
    _ = try await first.snapshot("disk", "one")
    await first.service.scrub()
    try flip(host, try #require(try host.files.list(on: .io0).first), .io0)
    let begun = try await first.call(ScrubVolume.self, .init(volume: "disk"))
    await #expect(throws: (any Error).self) { try await first.ended(begun) }
    await first.kill()
    #expect(host.alerts.entries.filter { $0.kind == "blocksRepaired" }.count == 1)
    let second = try await host.start()
    #expect(try await second.ended(begun).state == .done)
    #expect(try await second.show("disk").lastScrub?.repairedBlocksOnIO0 == 1)
    #expect(host.alerts.entries.filter { $0.kind == "blocksRepaired" }.count == 1)
    let rest = try await second.state.read { database in try Catalog.scrubbedLayers(of: begun.job, in: database) }
    #expect(rest.isEmpty)
    await second.stop()
  }

  @Test func anyOperationGoesOnBesideAScrubAndOneOfAVolumeIsEnough() async throws {
    let host = try TestHost()
    let hold = Hold("scrub.run")
    let storage = try await host.start { step in hold.step(step) }
    try await storage.create("disk")
    let key = newKey()
    let begun = try await storage.call(ScrubVolume.self, .init(volume: "disk", requestKey: key))
    #expect(begun.state == .running)
    #expect(try await storage.call(ScrubVolume.self, .init(volume: "disk")).job == begun.job)
    #expect(try await storage.call(ScrubVolume.self, .init(volume: "disk", requestKey: key)).job == begun.job)
    try await storage.snapshot("disk", "one")
    try await storage.write("while it waits", to: "disk", at: 0)
    _ = try await storage.call(CancelJob.self, .init(job: begun.job), releasing: hold)
    #expect(try await storage.ended(begun).state == .cancelled)
    #expect(try await storage.show("disk").lastScrub == nil)
    #expect(try await scrub(storage, "disk").state == .done)
    await storage.stop()
  }

  @Test func aVolumeThatIsDeletedEndsItsScrub() async throws {
    let host = try TestHost()
    let hold = Hold("scrub.run")
    let storage = try await host.start { step in hold.step(step) }
    try await storage.create("disk")
    let begun = try await storage.call(ScrubVolume.self, .init(volume: "disk"))
    #expect(try await storage.call(DeleteVolume.self, .init(volume: "disk")).deleted)
    hold.release()
    #expect(try await storage.ended(begun).state != .failed)
    #expect(await failure { try await storage.call(ScrubVolume.self, .init(volume: "disk")) }?.kind == "noSuchVolume")
    #expect(await failure { try await storage.call(ScrubImage.self, .init(image: "none")) }?.kind == "noSuchImage")
    await storage.stop()
  }

  @Test func withOneLegAScrubIsRefusedAndOneUnderWayWaits() async throws {
    let host = try TestHost()
    let hold = Hold("scrub.run")
    let storage = try await host.start { step in hold.step(step) }
    try await storage.create("disk")
    let begun = try await storage.call(ScrubVolume.self, .init(volume: "disk"))
    try host.shoot(.io1)
    await storage.waitForLegs { $0[.io1] == .lost }
    let refusal = await failure { try await storage.call(ScrubVolume.self, .init(volume: "disk")) }
    #expect(refusal?.kind == "legUnavailable" && refusal?.message.contains("io0 is in step") == true)
    hold.release()
    while try await storage.call(ShowJob.self, .init(job: begun.job)).reason == nil {
      try await Task.sleep(for: .milliseconds(5))
    }
    try host.bringBack(.io1)
    #expect(try await storage.ended(begun).state == .done)
    #expect(try #require(try await storage.show("disk").lastScrub).checkedBytes > 0)
    await storage.stop()
  }
}

extension Instance {
  /// Calls while something is held back, which is released once the call has begun.
  fileprivate func call<M: RPCMethod>(
    _ method: M.Type, _ params: M.Params, releasing hold: Hold
  ) async throws -> M.Result {
    async let result = call(method, params)
    while !service.jobs.isCancelled((params as? CancelJob.Params)?.job ?? 0) {
      try await Task.sleep(for: .milliseconds(2))
    }
    hold.release()
    return try await result
  }
}
