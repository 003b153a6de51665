import Foundation
import Primitives
import RPC
import Testing

@testable import VMMonitorCore

/// The conversation with an agent, against one that is scripted and against QEMU's own.
@Suite(.timeLimit(.minutes(1))) struct GuestAgentTests {
  private func agent(_ path: String) throws -> GuestAgent {
    GuestAgent(path: path, reactor: try #require(SocketReactor.shared))
  }

  /// The number that a question of `guest-sync-delimited` names.
  private static func number(_ question: String) -> Int64 {
    let text = question.drop { $0 != "{" }
    return (try? JSON.parse(Array(text.utf8)))?["arguments"]?["id"]?.integer ?? 0
  }

  @Test func whatOthersWereToHearIsPassedOver() async throws {
    let server = try FakeQMPServer(greeting: #"{"return": 17}"#) { question in
      question.contains("guest-sync-delimited")
        ? [
          #"{"error": {"class": "GenericError", "desc": "JSON parse error"}}"#, #"{"return": "frozen"}"#,
          #"{"return": \#(Self.number(question))}"#,
        ] : [#"{"return": {"version": "7.2"}}"#]
    }
    let answer = try await agent(server.path).ask("guest-info", within: .seconds(20))
    #expect(answer["version"] == "7.2")
  }

  @Test func anErrorIsPassedOnWithTheCommand() async throws {
    let server = try FakeQMPServer(greeting: "") { question in
      question.contains("guest-sync-delimited")
        ? [#"{"return": \#(Self.number(question))}"#] : [#"{"error": {"class": "x", "desc": "disabled"}}"#]
    }
    await #expect(throws: EngineError.refused("its guest agent says to guest-info: disabled")) {
      try await agent(server.path).ask("guest-info", within: .seconds(20))
    }
  }

  @Test func silenceAndNonsenseEndInTime() async throws {
    let silent = try FakeQMPServer(greeting: "") { _ in [] }
    let loud = try FakeQMPServer(greeting: "") { _ in [String](repeating: #"{"return": 1}"#, count: 1000) }
    let broken = try FakeQMPServer(greeting: "") { _ in [String(repeating: "x", count: 3 << 20)] }
    for server in [silent, loud, broken] {
      await #expect(throws: EngineError.notAnswering("its guest agent is silent")) {
        try await agent(server.path).ask("guest-info", within: .milliseconds(300))
      }
    }
    await #expect(throws: EngineError.notAnswering("it has no channel to a guest agent")) {
      try await agent("/nonexistent/agent").ask("guest-info", within: .milliseconds(300))
    }
  }

  static let program = ["/usr/sbin/qemu-ga", "/usr/bin/qemu-ga"].first { FileManager.default.fileExists(atPath: $0) }

  /// It is asked for what it may tell of this host; what would change the host is forbidden to it.
  @Test(.enabled(if: program != nil, "install qemu-guest-agent"))
  func theAgentOfQEMUIsUnderstood() async throws {
    let bench = try Bench()
    defer { withExtendedLifetime(bench) {} }
    let socket = bench.directory + "/agent"
    let process = Process()
    process.executableURL = URL(filePath: try #require(Self.program))
    let forbidden = "guest-fsfreeze-freeze,guest-fsfreeze-freeze-list,guest-shutdown,guest-set-time,guest-exec"
    process.arguments = [
      "-m", "unix-listen", "-p", socket, "-t", bench.directory, "-f", bench.directory + "/pid", "-b", forbidden,
    ]
    try process.run()
    defer {
      // It does not heed a request to end while nobody is connected.
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
    }
    while !FileManager.default.fileExists(atPath: socket) { try await Task.sleep(for: .milliseconds(5)) }
    let agent = try agent(socket)
    #expect(try await agent.ask("guest-info", within: .seconds(20))["version"]?.string?.first?.isNumber == true)
    let system = try await agent.ask("guest-get-osinfo", within: .seconds(20))
    var names = utsname()
    uname(&names)
    let release = withUnsafeBytes(of: &names.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    #expect(system["kernel-release"]?.string == release)
    let interfaces = GuestAnswers.interfaces(try await agent.ask("guest-network-get-interfaces", within: .seconds(20)))
    #expect(interfaces.contains { $0.name == "lo" && $0.addresses.contains("127.0.0.1/8") })
    await #expect(throws: EngineError.self) { try await agent.ask("guest-set-time", within: .seconds(20)) }
  }
}

@Suite struct GuestAnswersTests {
  @Test func whatAGuestSendsIsCutAndCleaned() {
    #expect(GuestAnswers.text("a\u{1B}[31mb\u{9B}c\n") == "a[31mbc")
    #expect(GuestAnswers.text("\u{7}") == nil)
    #expect(GuestAnswers.text(7) == nil)
    let long = GuestAnswers.text(.string(String(repeating: "x", count: 10_000)))
    #expect(long?.count == GuestAnswers.characters)
    let many = JSONValue.array([JSONValue](repeating: ["name": "eth0"], count: 1000))
    #expect(GuestAnswers.interfaces(many).count == GuestAnswers.entries)
    #expect(GuestAnswers.interfaces("nonsense").isEmpty)
    #expect(GuestAnswers.count(.integer(.max)) == Int.max)
    #expect(GuestAnswers.count(.integer(-1)) == 0)
    #expect(GuestAnswers.count("x") == 0)
  }

  @Test func fileSystemsOfEveryAgeOfTheAgentAreRead() {
    let old: JSONValue = ["name": "sda1", "mountpoint": "/", "type": "ext4", "disk": []]
    let new: JSONValue = ["mountpoint": "/home", "type": "xfs", "total-bytes": 1000, "used-bytes": 10]
    let odd: JSONValue = ["mountpoint": "/odd", "type": "x", "total-bytes": -5]
    let systems = GuestAnswers.fileSystems(.array([old, new, odd, ["type": "none"], 3]))
    #expect(systems.map(\.mountPoint) == ["/", "/home", "/odd"])
    #expect(systems.map(\.totalBytes) == [nil, 1000, nil])
    #expect(systems.map(\.usedBytes) == [nil, 10, nil])
  }
}
