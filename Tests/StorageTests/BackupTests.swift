import BlockLayers
import Foundation
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

/// Backups by the operator's client.
@Suite(.serialized, .timeLimit(.minutes(5))) struct BackupTests {
  private static let granule = ChangeMap.granuleBytes

  /// Backs the volume up and returns what the client says of it.
  private func backUp(_ host: TransferHost, _ more: String...) async throws -> JSONValue {
    let arguments = ["volume", "backup", "create", "disk", "\(host.files)/backups", "-o", "json"] + more
    let done = try await host.ftctl(arguments)
    try #require(done.status == 0, "\(done.output)")
    return try JSON.parse(done.output)
  }

  private func restore(_ host: TransferHost, _ backup: String?, as name: String) async throws {
    var arguments = ["volume", "backup", "restore", "\(host.files)/backups", "disk", "--as", name]
    if let backup { arguments += ["--backup", backup] }
    let done = try await host.ftctl(arguments)
    try #require(done.status == 0, "\(done.output)")
  }

  @Test func `after the first backup only what changed is copied, and each one can be restored`() async throws {
    try await TransferHost.run { host in
      let storage = host.storage
      try await storage.create("disk", size: 64 << 20)
      try await storage.write("one", to: "disk", at: 0)
      try await storage.write("kept", to: "disk", at: 40 << 20)
      let first = try await backUp(host)
      #expect(first["parent"] == nil)
      // A guest goes on writing meanwhile.
      let guest = try await storage.export("disk")
      try guest.write([UInt8]("two".utf8) + [UInt8](repeating: 0, count: 509), at: 0)
      try guest.write([UInt8](repeating: 7, count: 512), at: 20 << 20)
      let second = try await backUp(host)
      #expect(second["parent"]?.string == first["name"]?.string)
      #expect(second["copiedBytes"]?.integer == 2 * Self.granule)
      try guest.writeZeroes(at: 20 << 20, count: 1 << 20)
      try guest.flush()
      let third = try await backUp(host)
      #expect(third["copiedBytes"]?.integer == 16 * Self.granule)
      #expect(try await storage.show("disk").snapshots.isEmpty)
      #expect(try await storage.show("disk").checkpoints.map(\.checkpoint.rawValue) == [third["checkpoint"]?.string])

      try await restore(host, first["name"]?.string, as: "was")
      #expect(try await storage.text(of: "was", at: 0) == "one")
      try await restore(host, second["name"]?.string, as: "then")
      #expect(try await storage.text(of: "then", at: 0) == "two")
      #expect(try await storage.text(of: "then", at: 20 << 20).utf8.first == 7)
      try await restore(host, nil, as: "now")
      #expect(try await storage.text(of: "now", at: 20 << 20) == "")
      #expect(try await storage.text(of: "now", at: 40 << 20) == "kept")
      #expect(try await host.volumes() == ["disk", "now", "then", "was"])
      let list = try await host.ftctl("volume", "backup", "list", "\(host.files)/backups")
      #expect(list.output.components(separatedBy: "\n").filter { $0.contains("disk") }.count == 3, "\(list.output)")
      guest.close()
    }
  }

  @Test func `the files are chains that others read`() async throws {
    try await TransferHost.run { host in
      try await host.storage.create("disk", size: 16 << 20)
      try await host.storage.write("base", to: "disk", at: 0)
      let first = try await backUp(host)
      try await host.storage.write("more", to: "disk", at: 8 << 20)
      let second = try await backUp(host)
      let folder = "\(host.files)/backups/disk"
      let base = "\(folder)/\(first["name"]?.string ?? "").vhd"
      let check = try await run("qemu-img", "check", "-f", "vpc", base)
      #expect(check.status == 0 || check.output.contains("does not support checks"), "\(check.output)")
      let content = try await run("qemu-io", "-r", "-f", "vpc", "-c", "read -P 98 0 1", base)
      #expect(content.status == 0 && !content.output.contains("failed"), "\(content.output)")
      let info = try await run("vhdiinfo", "\(folder)/\(second["name"]?.string ?? "").vhd")
      #expect(info.status == 0 && info.output.contains("Differential"), "\(info.output)")
      #expect(info.output.contains("\(first["name"]?.string ?? "?").vhd"), "\(info.output)")
    }
  }

  @Test func `others read what changed as QEMU's dirty bitmap`() async throws {
    try await TransferHost.run { host in
      try await host.storage.create("disk", size: 16 << 20)
      try await host.storage.checkpoint("disk", "one")
      try await host.storage.write("text", to: "disk", at: 4 << 20)
      try await host.storage.checkpoint("disk", "two")
      try await host.storage.write("later", to: "disk", at: 8 << 20)
      let export = try await host.storage.call(ExportVolumeToCaller.self, .init(volume: "disk", snapshot: "two"))
      let uri = "nbd+unix:///\(export.exportName)?socket=\(host.host.root)/run/nbd.sock"
      let map = try await run("nbdinfo", "--map=qemu:dirty-bitmap:one", "--json", uri)
      #expect(map.status == 0, "\(map.output)")
      let dirty = try JSON.parse(map.output).array?.filter { $0["type"]?.integer == 1 } ?? []
      #expect(dirty.map { $0["offset"]?.integer } == [4 << 20], "\(map.output)")
      #expect(dirty.map { $0["length"]?.integer } == [Self.granule])
      // It goes with the checkpoint, loudly.
      try await host.storage.deleteCheckpoint("disk", "one")
      #expect(try await run("nbdinfo", "--map=qemu:dirty-bitmap:one", uri).status != 0)
    }
  }

  @Test func `where it is not known what changed everything is copied, with the reason`() async throws {
    try await TransferHost.run { host in
      try await host.storage.create("disk", size: 16 << 20)
      try await host.storage.write("text", to: "disk", at: 0)
      let first = try await backUp(host)
      #expect(try await backUp(host)["parent"]?.string == first["name"]?.string)
      #expect(try await backUp(host, "--full")["parent"] == nil)
      _ = try await host.storage.call(ResizeVolume.self, .init(volume: "disk", sizeBytes: 32 << 20))
      let resized = try await host.ftctl("volume", "backup", "create", "disk", "\(host.files)/backups")
      #expect(resized.output.contains("another size"), "\(resized.output)")
      for checkpoint in try await host.storage.show("disk").checkpoints {
        try await host.storage.deleteCheckpoint("disk", checkpoint.checkpoint)
      }
      let forgotten = try await host.ftctl("volume", "backup", "create", "disk", "\(host.files)/backups")
      #expect(forgotten.output.contains("does not know any more"), "\(forgotten.output)")
      try await restore(host, nil, as: "again")
      #expect(try await host.storage.text(of: "again", at: 0) == "text")
    }
  }

  @Test func `what a backup left that was cut is removed by the next one`() async throws {
    try await TransferHost.run { host in
      try await host.storage.create("disk", size: 16 << 20)
      let first = try await backUp(host)
      try await host.storage.write("text", to: "disk", at: 0)
      // As a kill leaves it: the name is noted, the snapshot is taken, the file is half there.
      try await host.storage.checkpoint("disk", "backup-cut")
      let folder = "\(host.files)/backups/disk"
      try "backup-cut".write(toFile: "\(folder)/20010101T000000Z.begun", atomically: true, encoding: .utf8)
      try Data(count: 4096).write(to: URL(filePath: "\(folder)/20010101T000000Z.part"))
      try await host.storage.write("text", to: "disk", at: 1 << 20)
      let second = try await backUp(host)
      #expect(second["parent"]?.string == first["name"]?.string)
      #expect(second["copiedBytes"]?.integer == 2 * Self.granule)
      let status = try await host.storage.show("disk")
      #expect(status.snapshots.isEmpty)
      #expect(status.checkpoints.count == 1)
      let left = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(left.allSatisfy { $0.hasSuffix(".vhd") || $0.hasSuffix(".json") }, "\(left)")
    }
  }

  @Test func `a chain with a gap or a damaged description is refused, and nothing is left`() async throws {
    try await TransferHost.run { host in
      try await host.storage.create("disk", size: 16 << 20)
      let first = try await backUp(host)
      try await host.storage.write("text", to: "disk", at: 0)
      _ = try await backUp(host)
      let folder = "\(host.files)/backups/disk"
      let name = first["name"]?.string ?? ""
      try FileManager.default.moveItem(atPath: "\(folder)/\(name).vhd", toPath: "\(folder)/elsewhere")
      let gap = try await host.ftctl("volume", "backup", "restore", "\(host.files)/backups", "disk", "--as", "new")
      #expect(gap.status != 0 && gap.output.contains("\(name).vhd"), "\(gap.output)")
      #expect(try await host.volumes() == ["disk"])
      try "{}".write(toFile: "\(folder)/\(name).json", atomically: true, encoding: .utf8)
      let damaged = try await host.ftctl("volume", "backup", "create", "disk", "\(host.files)/backups")
      #expect(damaged.status == 66 && damaged.output.contains("does not tell"), "\(damaged.output)")
      #expect(try await host.storage.show("disk").snapshots.isEmpty)
      let missing = try await host.ftctl("volume", "backup", "restore", "\(host.files)/backups", "other")
      #expect(missing.status == 66 && missing.output.contains("no backup of other"), "\(missing.output)")
    }
  }

  @Test func `an interrupted backup leaves nothing`() async throws {
    try await TransferHost.run { host in
      try await host.storage.create("disk", size: 512 << 20)
      let guest = try await host.storage.export("disk")
      for offset in stride(from: Int64(0), to: 256 << 20, by: 1 << 20) {
        try guest.write([UInt8](repeating: 5, count: 1 << 20), at: offset)
      }
      let folder = "\(host.files)/backups/disk"
      let client = host.process(["volume", "backup", "create", "disk", "\(host.files)/backups"])
      try client.run()
      while try await host.storage.show("disk").snapshots.isEmpty, client.isRunning { await Task.yield() }
      kill(client.processIdentifier, SIGINT)
      client.waitUntilExit()
      // It may have been faster.
      let isWhole = client.terminationStatus == 0
      #expect(isWhole || client.terminationStatus == 130)
      let status = try await host.storage.show("disk")
      #expect(status.snapshots.isEmpty)
      #expect(status.checkpoints.count == (isWhole ? 1 : 0))
      let left = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(left.count == (isWhole ? 2 : 0), "\(left)")
      guest.close()
    }
  }

  @Test func `a clock that goes back does not mix up the order`() async throws {
    try await TransferHost.run { host in
      try await host.storage.create("disk", size: 16 << 20)
      let first = try await backUp(host)
      let manifest = "\(host.files)/backups/disk/\(first["name"]?.string ?? "").json"
      let taken = try #require(first["takenMilliseconds"]?.integer)
      let text = try String(contentsOfFile: manifest, encoding: .utf8)
        .replacingOccurrences(of: "\(taken)", with: "\(taken + 1_000_000_000)")
      try text.write(toFile: manifest, atomically: true, encoding: .utf8)
      try await host.storage.write("new", to: "disk", at: 0)
      let second = try await backUp(host)
      #expect(second["parent"]?.string == first["name"]?.string)
      #expect(try await backUp(host)["parent"]?.string == second["name"]?.string)
      #expect(try await host.storage.show("disk").checkpoints.count == 1)
      try await restore(host, nil, as: "again")
      #expect(try await host.storage.text(of: "again", at: 0) == "new")
    }
  }
}
