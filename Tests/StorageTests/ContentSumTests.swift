import BlockLayers
import Foundation
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

/// Checksums of images, against sha256sum(1).
@Suite(.timeLimit(.minutes(1))) struct ContentSumTests {
  /// What an image of 8 MiB that begins with a text holds, by sha256sum.
  private static func sum(_ text: String) async throws -> String {
    let (status, output) = try await run("sh", "-c", "{ printf '\(text)'; cat /dev/zero; } | head -c 8M | sha256sum")
    try #require(status == 0, "\(output)")
    return String(output.prefix(64))
  }

  @Test func `an image gets the checksum of all that it holds, whether promoted or captured`() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.makeImage("base", text: "golden")
    try await storage.create("clone", size: nil, image: "base")
    try await storage.write("own", to: "clone", at: 0)
    let job = try await storage.call(CaptureVolume.self, .init(volume: "clone", image: "copy"))
    #expect(try await storage.ended(job).state == .done)
    try await storage.summed(2)
    let images = try await storage.call(ListImages.self, Nothing()).images
    let expected = [try await Self.sum("golden"), try await Self.sum("own")]
    #expect(images.map(\.contentSHA256) == expected)
    let verified = try await storage.ended(try await storage.call(VerifyImage.self, .init(image: "base")))
    #expect(verified.state == .done)
    #expect(verified.subject == "base" && verified.doneBytes == 8 << 20)
    await storage.stop()
  }

  @Test func `an image that reads differently is found`() async throws {
    let host = try TestHost()
    let first = try await host.start()
    try await first.makeImage("base", text: "golden")
    try await first.summed(1)
    await first.stop()
    // On both legs, so that nothing but the checksum tells.
    for leg in LegID.allCases {
      let path = host.files.path(try #require(try host.files.list(on: leg).first { $0.hasSuffix(".vhd") }), on: leg)
      var bytes = try Data(contentsOf: URL(filePath: path))
      let range = try #require(bytes.range(of: Data("golden".utf8)))
      bytes.replaceSubrange(range, with: Data("forged".utf8))
      try bytes.write(to: URL(filePath: path))
    }
    let second = try await host.start()
    let job = try await second.call(VerifyImage.self, .init(image: "base"))
    let ended = try await second.ended(job)
    #expect(ended.state == .failed)
    let (golden, forged) = (try await Self.sum("golden"), try await Self.sum("forged"))
    #expect(ended.reason?.contains(forged) == true)
    let alert = try await host.alerts.first("imageDamaged")
    #expect(alert.severity == .critical && alert.data["expected"] == .string(golden))
    // What is kept stays what it was.
    #expect(try await second.images().first?.contentSHA256 == golden)
    await second.stop()
  }

  @Test(arguments: ["sum.read", "sum.commit"])
  func `the next instance makes the checksum that a kill prevented`(step: String) async throws {
    let host = try TestHost()
    let first = try await host.start { if $0 == step || $0 == "job.fail" { throw CancellationError() } }
    try await first.makeImage("base", text: "golden")
    while first.service.jobs.isRunning(1) { try await Task.sleep(for: .milliseconds(1)) }
    #expect(try await first.images().first?.contentSHA256 == nil)
    await first.kill()
    let second = try await host.start()
    try await second.summed(1)
    let expected = try await Self.sum("golden")
    #expect(try await second.images().first?.contentSHA256 == expected)
    #expect(try await second.call(ListJobs.self, Nothing()).jobs.map(\.operation) == ["library.checksum"])
    await second.stop()
  }

  @Test func `an image whose checksum is being made can be deleted`() async throws {
    let host = try TestHost()
    let hold = Hold("sum.read")
    let storage = try await host.start(beforeStep: hold.step)
    try await storage.makeImage("base", text: "golden")
    async let deleted = storage.call(DeleteImage.self, .init(image: "base"))
    let job = try #require(try await storage.call(ListJobs.self, Nothing()).jobs.last)
    #expect(job.operation == "library.checksum" && job.subject == "base")
    while !storage.service.jobs.isCancelled(job.job) { try await Task.sleep(for: .milliseconds(1)) }
    hold.release()
    #expect(try await deleted.deleted)
    #expect(try await storage.call(ShowJob.self, .init(job: job.job)).state == .cancelled)
    #expect(try host.files.list(on: .io0).isEmpty)
    await storage.stop()
  }

  @Test func `an image that an older version made gets its checksum at the next start`() async throws {
    let host = try TestHost()
    let first = try await host.start()
    try await first.makeImage("base", text: "golden")
    try await first.summed(1)
    try await first.state.write { transaction in
      try transaction.execute("UPDATE image SET contentSHA256 = NULL", [])
      try transaction.execute("DELETE FROM job", [])
    }
    await first.stop()
    let second = try await host.start()
    try await second.summed(1)
    let expected = try await Self.sum("golden")
    #expect(try await second.images().first?.contentSHA256 == expected)
    await second.stop()
  }
}

extension Instance {
  func images() async throws -> [ImageStatus] { try await call(ListImages.self, Nothing()).images }

  /// Waits until so many images have their checksums.
  func summed(_ count: Int) async throws {
    while try await call(ListImages.self, Nothing()).images.count(where: { $0.contentSHA256 != nil }) < count {
      try await Task.sleep(for: .milliseconds(1))
    }
  }
}
