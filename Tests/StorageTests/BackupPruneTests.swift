import Foundation
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

/// The oldest backups go, and those that stay hold what they need.
@Suite(.serialized, .timeLimit(.minutes(5))) struct BackupPruneTests {
  /// The files of three backups, each with a text of its own, and what the host offers.
  private struct Backups {
    let host: TransferHost
    var names: [String] = []
    var folder: String { "\(host.files)/backups/disk" }

    static func run(_ body: (Backups) async throws -> Void) async throws {
      try await TransferHost.run { host in
        var backups = Backups(host: host)
        try await host.storage.create("disk", size: 32 << 20)
        for text in ["one", "two", "three"] {
          try await host.storage.write(text, to: "disk", at: 0)
          try await host.storage.write("of \(text)", to: "disk", at: Int64(1 + backups.names.count) << 20)
          backups.names.append(try await backups.backUp()["name"]?.string ?? "")
        }
        try await body(backups)
      }
    }

    func backUp() async throws -> JSONValue {
      try JSON.parse(try await ftctl("create", "disk", "\(host.files)/backups", "-o", "json"))
    }

    func prune(keep: Int) async throws -> String {
      try await ftctl("prune", "\(host.files)/backups", "disk", "--keep", "\(keep)")
    }

    /// The backups that are listed, with what each is based on.
    func list() async throws -> [String: String?] {
      let list = try JSON.parse(try await ftctl("list", "\(host.files)/backups", "-o", "json")).array ?? []
      return Dictionary(uniqueKeysWithValues: list.map { ($0["name"]?.string ?? "", $0["parent"]?.string) })
    }

    func restored(_ name: String, as volume: String) async throws -> [String] {
      _ = try await ftctl("restore", "\(host.files)/backups", "disk", "--backup", name, "--as", volume)
      var texts: [String] = []
      let new = try #require(VolumeName(rawValue: volume))
      for offset in 0..<4 { texts.append(try await host.storage.text(of: new, at: Int64(offset) << 20)) }
      return texts
    }

    func files() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder).sorted() }

    private func ftctl(_ arguments: String...) async throws -> String {
      let done = try await host.ftctl(["volume", "backup"] + arguments)
      try #require(done.status == 0, "\(done.output)")
      return done.output
    }
  }

  @Test func `what stays is whole, and the next backup copies only what changed`() async throws {
    try await Backups.run { backups in
      let (second, third) = (backups.names[1], backups.names[2])
      let said = try await backups.prune(keep: 2)
      #expect(said.contains("\(backups.names[0]) is removed") && said.contains("\(second) is a full one now"))
      #expect(try await backups.list() == [second: nil, third: second])
      #expect(try await backups.restored(second, as: "then") == ["two", "of one", "of two", ""])
      #expect(try await backups.restored(third, as: "now") == ["three", "of one", "of two", "of three"])
      let checked = try await StorageTests.run("qemu-img", "check", "-f", "vpc", "\(backups.folder)/\(second).vhd")
      // vpc has no check of its own: 63 is qemu-img's word for that.
      #expect(checked.status == 0 || checked.status == 63, "\(checked.output)")

      try await backups.host.storage.write("four", to: "disk", at: 0)
      let next = try await backups.backUp()
      #expect(next["parent"]?.string == third)
      _ = try await backups.prune(keep: 1)
      let last = next["name"]?.string ?? ""
      #expect(try await backups.list() == [last: nil])
      #expect(try backups.files() == ["\(last).json", "\(last).vhd"])
      #expect(try await backups.restored(last, as: "last") == ["four", "of one", "of two", "of three"])
    }
  }

  @Test func `where nothing is too much nothing is touched`() async throws {
    try await Backups.run { backups in
      let before = try backups.files()
      #expect(try await backups.prune(keep: 3).contains("nothing to remove"))
      #expect(try backups.files() == before)
      let words = ["volume", "backup", "prune", "\(backups.host.files)/backups"]
      let none = try await backups.host.ftctl(words + ["disk", "--keep", "0"])
      #expect(none.status == 64 && none.output.contains("1 or more"), "\(none.output)")
      let other = try await backups.host.ftctl(words + ["disc", "--keep", "1"])
      #expect(other.status == 66 && other.output.contains("no backup of disc"), "\(other.output)")
      #expect(try backups.files() == before)
    }
  }

  @Test(arguments: ["before the file is in its place", "before it is told", "before the file is removed"])
  func `one that was cut is gone on with`(moment: String) async throws {
    try await Backups.run { backups in
      let (first, second, third) = (backups.names[0], backups.names[1], backups.names[2])
      let manifests = try [first, second].map { try Data(contentsOf: URL(filePath: "\(backups.folder)/\($0).json")) }
      let file = try Data(contentsOf: URL(filePath: "\(backups.folder)/\(first).vhd"))
      func put(_ data: Data, _ name: String) throws { try data.write(to: URL(filePath: "\(backups.folder)/\(name)")) }
      switch moment {
      case "before the file is in its place": try put(file, "\(second).part")
      case "before it is told":
        _ = try await backups.prune(keep: 2)
        try put(file, "\(first).vhd")
        try put(manifests[0], "\(first).json")
        try put(manifests[1], "\(second).json")
      default:
        _ = try await backups.prune(keep: 2)
        try put(file, "\(first).vhd")
        try put(manifests[0], "\(first).gone")
      }
      #expect(try await backups.restored(third, as: "meanwhile") == ["three", "of one", "of two", "of three"])
      _ = try await backups.prune(keep: 2)
      #expect(try await backups.list() == [second: nil, third: second])
      #expect(try backups.files() == [second, third].flatMap { ["\($0).json", "\($0).vhd"] }.sorted())
      #expect(try await backups.restored(third, as: "afterwards") == ["three", "of one", "of two", "of three"])
    }
  }
}
