import Foundation
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

/// Disk image files in and out, by the operator's client and qemu-img.
@Suite(.serialized, .timeLimit(.minutes(5))) struct TransferTests {
  private static let drivers = ["raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx"]

  @Test(arguments: ["raw", "qcow2", "vmdk", "vhd", "vhdx"])
  func `what goes in comes out, and holes stay holes`(format: String) async throws {
    let driver = try #require(Self.drivers[format])
    try await TransferHost.run { host in
      let raw = try host.makeRaw("disk.raw", bytes: 64 << 20)
      let source = "\(host.files)/disk,1:a.\(format)"
      let made = try await run(
        ["qemu-img", "convert", "-f", "raw", "-O", driver] + (format == "vhd" ? ["-o", "force_size=on"] : [])
          + [raw, source])
      #expect(made.status == 0, "\(made.output)")
      let added = try await host.ftctl("library", "import", "golden", source, "--description", "a disk")
      #expect(added.status == 0, "\(added.output)")
      let image = try #require(try await host.images().first)
      #expect(image.sizeBytes == 64 << 20)
      #expect(image.description == "a disk")
      #expect(image.allocatedBytes < 16 << 20)
      #expect(try await host.volumes().isEmpty)

      let back = "\(host.files)/back.\(format)"
      let written = try await host.ftctl("library", "export", "golden", back, "--format", format, "-o", "json")
      #expect(written.status == 0, "\(written.output)")
      #expect(try JSON.parse(written.output)["sizeBytes"]?.integer == 64 << 20)
      let same = try await run("qemu-img", "compare", "-f", "raw", "-F", driver, raw, back)
      #expect(same.status == 0, "\(same.output)")
      let info = try await run("qemu-img", "info", "--output=json", "-f", driver, back)
      #expect(try JSON.parse(info.output)["virtual-size"]?.integer == 64 << 20)
      let facts = try FileManager.default.attributesOfItem(atPath: back)
      #expect(facts[.type] as? FileAttributeType == .typeRegular)
      #expect(try JSON.parse(written.output)["allocatedBytes"]?.integer ?? .max < 16 << 20)
      #expect(!FileManager.default.fileExists(atPath: "\(back).part"))
    }
  }

  @Test func `a volume is imported, and its snapshot is exported while it is in use`() async throws {
    try await TransferHost.run { host in
      let raw = try host.makeRaw("disk.raw", bytes: (8 << 20) + 700)
      let added = try await host.ftctl("volume", "import", "disk", raw)
      #expect(added.status == 0, "\(added.output)")
      #expect(try await host.volumes() == ["disk"])
      #expect(try await host.storage.show("disk").sizeBytes == (8 << 20) + 1024)
      try await host.storage.snapshot("disk", "first")
      let export = try await host.storage.call(ExportVolume.self, .init(volume: "disk", clientUserID: 1000))
      let guest = try await host.storage.connect(to: export.exportName, user: 1000)
      try guest.write([UInt8](repeating: 9, count: 512), at: 4096)

      let refused = try await host.ftctl("volume", "export", "disk", "\(host.files)/now.raw")
      #expect(refused.status == 1 && refused.output.contains("A client is connected"), "\(refused.output)")
      let out = "\(host.files)/then.qcow2"
      let written = try await host.ftctl("volume", "export", "disk", out, "--snapshot", "first", "--format", "qcow2")
      #expect(written.status == 0, "\(written.output)")
      let same = try await run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, out)
      #expect(same.status == 0, "\(same.output)")
      guest.close()
      let now = try await host.ftctl("volume", "export", "disk", "\(host.files)/now.raw")
      #expect(now.status == 0, "\(now.output)")
      let differs = try await run("qemu-img", "compare", "-f", "raw", "-F", "raw", raw, "\(host.files)/now.raw")
      #expect(differs.status == 1)
    }
  }

  @Test func `what needs other files is refused`() async throws {
    try await TransferHost.run { host in
      let raw = try host.makeRaw("disk.raw", bytes: 8 << 20)
      func make(_ words: String...) async throws {
        let made = try await run(["qemu-img"] + words)
        try #require(made.status == 0, "\(made.output)")
      }
      try await make("create", "-q", "-f", "qcow2", "-b", raw, "-F", "raw", "\(host.files)/child.qcow2")
      try await make(
        "create", "-q", "-f", "qcow2", "-o", "data_file=\(host.files)/data.raw", "\(host.files)/split.qcow2", "8M")
      try await make(
        "create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", "\(host.files)/flat.vmdk", "8M")
      for name in ["child.qcow2", "split.qcow2", "flat.vmdk"] {
        let done = try await host.ftctl("library", "import", "golden", "\(host.files)/\(name)")
        #expect(done.status == 66 && done.output.contains("other files"), "\(name): \(done.output)")
      }
      #expect(try await host.volumes().isEmpty)
    }
  }

  @Test func `a file that was not copied whole is refused and leaves nothing`() async throws {
    try await TransferHost.run { host in
      let raw = try host.makeRaw("disk.raw", bytes: 8 << 20)
      for (format, driver) in Self.drivers where format != "raw" {
        let source = "\(host.files)/cut.\(format)"
        let made = try await run("qemu-img", "convert", "-f", "raw", "-O", driver, raw, source)
        try #require(made.status == 0, "\(made.output)")
        let length = try #require(
          try FileManager.default.attributesOfItem(atPath: source)[.size] as? UInt64)
        let file = try #require(FileHandle(forWritingAtPath: source))
        try file.truncate(atOffset: length - length / 4)
        try file.close()
        let done = try await host.ftctl("volume", "import", "disk", source)
        #expect(done.status == 66 && done.output.contains(source), "\(format): \(done.output)")
        #expect(try await host.volumes().isEmpty)
      }
    }
  }

  @Test func `what is larger than a volume can be is refused`() async throws {
    try await TransferHost.run { host in
      let source = "\(host.files)/large.qcow2"
      _ = try await run("qemu-img", "create", "-q", "-f", "qcow2", source, "2041G")
      let done = try await host.ftctl("library", "import", "golden", source)
      #expect(done.status == 66 && done.output.contains("2040 GiB"), "\(done.output)")
    }
  }

  @Test func `an import that was killed is begun anew only when asked to`() async throws {
    try await TransferHost.run { host in
      let raw = try host.makeRaw("disk.raw", bytes: 8 << 20)
      // What a kill between two steps leaves.
      try await host.storage.create("disk.import", size: 512)
      try await host.storage.create("disk")
      try await host.storage.create("golden.upload")
      for words in [["volume", "import", "disk", raw], ["library", "import", "golden", raw]] {
        let done = try await StorageTests.run(
          [host.process(words).executableURL?.path ?? ""] + (host.process(words).arguments ?? []))
        #expect(done.status == 1 && done.output.contains("--restart"), "\(done.output)")
      }
      #expect(try await host.ftctl("volume", "import", "disk", raw, "--restart").status == 0)
      #expect(try await host.ftctl("library", "import", "golden", raw, "--restart").status == 0)
      #expect(try await host.volumes() == ["disk"])
      // A volume that is whole is not an import that was cut.
      let again = try await host.ftctl("volume", "import", "disk", raw, "--restart")
      #expect(again.status == 1 && again.output.contains("disk"), "\(again.output)")
      #expect(try await host.volumes() == ["disk"])
    }
  }

  @Test(arguments: [SIGINT, SIGKILL])
  func `an import that is ended in the middle leaves nothing, or what a repeat removes`(signal: Int32) async throws {
    try await TransferHost.run { host in
      let raw = "\(host.files)/disk.raw"
      let made = try await run("sh", "-c", "head -c 200M /dev/urandom > \(raw)")
      try #require(made.status == 0)
      let process = host.process(["volume", "import", "disk", raw])
      let (ended, continuation) = AsyncStream.makeStream(of: Void.self)
      process.terminationHandler = { _ in continuation.finish() }
      try process.run()
      while (try? await host.storage.show("disk").sessions) ?? 0 == 0, process.isRunning { await Task.yield() }
      #expect(process.isRunning)
      kill(process.processIdentifier, signal)
      for await _ in ended {}
      #expect(process.terminationStatus != 0)
      if signal == SIGINT { #expect(try await host.volumes().isEmpty) }
      let again = try await host.ftctl("volume", "import", "disk", raw, "--restart")
      #expect(again.status == 0, "\(again.output)")
      #expect(try await host.volumes() == ["disk"])
    }
  }

  @Test func `a file that exists is replaced only when asked to, and a part that was left is removed`() async throws {
    try await TransferHost.run { host in
      try await host.storage.makeImage("golden", text: "content")
      let out = "\(host.files)/out.raw"
      try Data("mine".utf8).write(to: URL(filePath: out))
      try FileManager.default.createDirectory(atPath: "\(out).part", withIntermediateDirectories: true)
      try Data("half".utf8).write(to: URL(filePath: "\(out).part/out.raw"))
      let kept = try await host.ftctl("library", "export", "golden", out)
      #expect(kept.status == 71 && kept.output.contains("--force"), "\(kept.output)")
      #expect(try String(contentsOfFile: out, encoding: .utf8) == "mine")
      let replaced = try await host.ftctl("library", "export", "golden", out, "--force")
      #expect(replaced.status == 0, "\(replaced.output)")
      let bytes = try Data(contentsOf: URL(filePath: out))
      #expect(bytes.count == 8 << 20 && bytes.starts(with: Data("content".utf8)))
      #expect(try FileManager.default.contentsOfDirectory(atPath: host.files) == ["out.raw"])
      let device = try await host.ftctl("library", "export", "golden", "/dev/null", "--force")
      #expect(device.status == 71, "\(device.output)")
    }
  }

  @Test(.enabled(if: getuid() == 0, "needs root, to mount a small file system"))
  func `a target that is full gets nothing`() async throws {
    try await TransferHost.run { host in
      let small = "\(host.files)/small"
      try FileManager.default.createDirectory(atPath: small, withIntermediateDirectories: true)
      let mounted = try await run("mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", small)
      try #require(mounted.status == 0, "\(mounted.output)")
      let raw = "\(host.files)/disk.raw"
      _ = try await run("sh", "-c", "head -c 4M /dev/urandom > \(raw)")
      #expect(try await host.ftctl("volume", "import", "disk", raw).status == 0)
      let done = try await host.ftctl("volume", "export", "disk", "\(small)/out.raw")
      #expect(done.status == 71 && done.output.contains("left"), "\(done.output)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: small).isEmpty)
      _ = try await run("umount", small)
    }
  }
}
