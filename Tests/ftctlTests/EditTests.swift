import Foundation
import Testing

@testable import ftctl

@Suite("vm edit, vm restore", .timeLimit(.minutes(1)))
struct EditTests {
  /// Runs ftctl with an editor that is a line for the shell, in a directory of its own for what is kept.
  private func run(_ arguments: [String], editor: String, _ host: FakeHost) async throws -> (
    code: Int32, kept: [String]
  ) {
    let directory = "\(host.directory)/tmp"
    try? FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
    let ftctl = try Process.ftctl(arguments, host: host, ["VISUAL": editor, "TMPDIR": directory])
    let code = await ftctl.ended()
    return (code, try FileManager.default.subpathsOfDirectory(atPath: directory).filter { $0.hasSuffix(".xml") })
  }

  @Test("What the editor wrote is defined, and no file stays")
  func edit() async throws {
    try await FakeHost.run([.vm]) { host, _ in
      let end = try await run(["vm", "edit", "web"], editor: "sed -i s/web/new/", host)
      #expect(end.code == 0 && end.kept.isEmpty)
      #expect(host.definitions.withLock { $0.last } == "<domain><name>new</name></domain>\n")
    }
  }

  @Test("Without a change nothing is defined")
  func unchanged() async throws {
    try await FakeHost.run([.vm]) { host, _ in
      let end = try await run(["vm", "edit", "web"], editor: "true", host)
      #expect(end.code == 0 && end.kept.isEmpty)
      #expect(host.definitions.withLock { $0.count } == 1)
    }
  }

  @Test("A text that is refused is kept", arguments: ["sed -i s/web/wrong/", "sed -i s/web/new/ $1; false"])
  func refused(editor: String) async throws {
    try await FakeHost.run([.vm]) { host, _ in
      let end = try await run(["vm", "edit", "web"], editor: editor, host)
      #expect(end.code == 1 && end.kept.count == 1)
      #expect(host.definitions.withLock { $0.count } == 1)
    }
  }

  @Test("What somebody else changed meanwhile is not overwritten")
  func changedMeanwhile() async throws {
    try await FakeHost.run([.vm]) { host, _ in
      let other = "EDITOR= VISUAL='sed -i s/web/other/' '\(Self.program)' vm edit web && sed -i s/web/mine/"
      let end = try await run(["vm", "edit", "web"], editor: other, host)
      #expect(end.code == 1 && end.kept.count == 1)
      #expect(host.definitions.withLock { $0.last?.contains("other") } == true)
    }
  }

  @Test("An earlier version comes back")
  func restore() async throws {
    try await FakeHost.run([.vm]) { host, _ in
      host.definitions.withLock { $0.append("<domain><name>web</name><title>2</title></domain>") }
      let end = try await run(["vm", "restore", "web", "1"], editor: "false", host)
      #expect(end.code == 0)
      #expect(host.definitions.withLock { $0.count == 3 && $0[2] == $0[0] })
      let missing = try await run(["vm", "restore", "web", "7"], editor: "false", host)
      #expect(missing.code == 1)
    }
  }

  private static var program: String {
    (Bundle.main.executableURL?.deletingLastPathComponent() ?? URL(fileURLWithPath: ".")).path + "/ftctl"
  }
}
