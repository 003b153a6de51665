import FTVSClient
import Foundation
import Testing

@testable import ftctl

@Suite("Against a host", .serialized, .timeLimit(.minutes(1)))
struct AgainstHostTests {
  /// Runs the program itself.
  private func ftctl(_ arguments: String..., host: FakeHost, path: String? = nil) async throws -> (
    code: Int32, output: String, errors: String
  ) {
    try await ftctl(arguments, host: host, path: path)
  }

  private func ftctl(_ arguments: [String], host: FakeHost, path: String? = nil) async throws -> (
    code: Int32, output: String, errors: String
  ) {
    let process = Process()
    let directory = try #require(Bundle.main.executableURL).deletingLastPathComponent()
    process.executableURL = directory.appendingPathComponent("ftctl")
    process.arguments = arguments
    var environment = ProcessInfo.processInfo.environment
    environment["FTVS_RUN_DIRECTORY"] = path == nil ? host.directory : nil
    if let path { environment["PATH"] = "\(path):\(environment["PATH"] ?? "")" }
    process.environment = environment
    let (output, errors) = (Pipe(), Pipe())
    (process.standardOutput, process.standardError) = (output, errors)
    await withCheckedContinuation { continuation in
      process.terminationHandler = { _ in continuation.resume() }
      do { try process.run() } catch { continuation.resume() }
    }
    func text(_ pipe: Pipe) -> String {
      String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    }
    return (process.terminationStatus, text(output), text(errors))
  }

  @Test("The status of a whole host ends with 0, without colour in a pipe")
  func status() async throws {
    try await FakeHost.run { host, _ in
      let done = try await ftctl("status", host: host)
      #expect(done.code == 0 && done.errors == "")
      #expect(done.output.contains("cpu1    broken") && !done.output.contains("\u{1B}"))
    }
  }

  @Test(
    "An output that takes nothing ends with 71 and is said, also where it is closed", arguments: [">/dev/full", ">&-"])
  func unprintable(redirection: String) async throws {
    try await FakeHost.run { host, _ in
      let process = Process()
      let program = try #require(Bundle.main.executableURL).deletingLastPathComponent().appendingPathComponent("ftctl")
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
      process.arguments = [
        "-c", "exec \"$0\" volume list --run-directory \"$1\" \(redirection)", program.path, host.directory,
      ]
      let errors = Pipe()
      process.standardError = errors
      await withCheckedContinuation { continuation in
        process.terminationHandler = { _ in continuation.resume() }
        do { try process.run() } catch { continuation.resume() }
      }
      #expect(process.terminationStatus == 71)
      let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      #expect(said.contains("standard output"))
    }
  }

  @Test("When a service does not answer the rest is shown and the code is 69")
  func statusInPart() async throws {
    try await FakeHost.run([.hardware, .vm, .alerts]) { host, _ in
      let done = try await ftctl("status", host: host)
      #expect(done.code == 69)
      #expect(done.output.contains("Legs\n  not known: Cannot connect to \(host.directory)/storage.sock"))
      #expect(done.output.contains("  web    running"))
    }
  }

  @Test("A host that does not run is one sentence and 69")
  func absent() async throws {
    try await FakeHost.run([]) { host, _ in
      let done = try await ftctl("status", host: host)
      #expect(done.code == 69 && done.output == "")
      #expect(done.errors.hasPrefix("ftctl: Cannot connect to") && done.errors.contains("ftctl lab up"))
    }
  }

  @Test("A shell is offered the names that the host has")
  func completion() async throws {
    try await FakeHost.run { host, _ in
      let vms = ["---completion", "vm", "start", "--", "positional@0", "3", "0", "ftctl", "vm", "start", ""]
      let names = try await ftctl(vms, host: host)
      #expect(names.output == "web\nbatch\n")
      let methods = ["---completion", "call", "--", "positional@1", "3", "0", "ftctl", "call", "vm", ""]
      let offered = try await ftctl(methods, host: host)
      #expect(offered.output.contains("vm.start\n"))
    }
  }

  @Test("JSON is the API's result as it came")
  func json() async throws {
    try await FakeHost.run { host, session in
      let done = try await ftctl("vm", "list", "-o", "json", host: host)
      let raw = try await session.client(.vm).call(method: "vm.list", params: [:])
      #expect(try JSON.parse(done.output) == raw)
    }
  }

  @Test("A name that does not exist is answered with those that are near")
  func nearName() async throws {
    try await FakeHost.run { host, _ in
      let done = try await ftctl("vm", "start", "wbe", host: host)
      #expect(done.code == 1)
      #expect(done.errors == "ftctl: There is no virtual machine wbe.\nDid you mean web?\n")
    }
  }

  @Test("Any method can be called, and one that does not exist is answered with those that are near")
  func call() async throws {
    try await FakeHost.run { host, _ in
      let done = try await ftctl("call", "hardware", "hardware.modules", host: host)
      #expect(try JSON.parse(done.output)["modules"]?.array?.count == 4)
      let slip = try await ftctl("call", "hardware", "hardware.module", host: host)
      #expect(slip.code == 1 && slip.errors.contains("Did you mean hardware.modules?"))
      let noJSON = try await ftctl("call", "hardware", "hardware.modules", "{", host: host)
      #expect(noJSON.code == 64)
    }
  }

  @Test("The console is connected anew after a failover, prints history once, and Ctrl-] leaves it")
  func console() async throws {
    try await FakeHost.run { host, _ in
      let console = try Process.ftctl(["vm", "console", "web", "--history", "100"], host: host)
      var shown = ""
      for try await text in console.output {
        shown += text
        if shown.hasSuffix("<3:0>") { break }
      }
      #expect(shown == "<1:100><2:0><3:0>")
      console.type([0x6C, 0x73, 0x0D])
      console.type([0x61, Console.detachKey, 0x62])
      #expect(await console.ended() == 0)
      #expect(host.typed.withLock { $0 } == [0x6C, 0x73, 0x0D, 0x61])
    }
  }

  @Test("Alerts are followed through a failover from where it was, none twice")
  func followAlerts() async throws {
    try await FakeHost.run { host, _ in
      let follower = try Process.ftctl(["alert", "follow", "--after", "7"], host: host)
      var shown = ""
      for try await text in follower.output {
        shown += text
        if shown.contains("number 13") { break }
      }
      follower.interrupt()
      _ = await follower.ended()
      let numbers = shown.split(separator: "\n").compactMap { Int($0.split(separator: " ").last ?? "") }
      #expect(numbers.prefix(6) == [8, 9, 10, 11, 12, 13])
      #expect(host.followedAfter.withLock { $0.prefix(3) } == [7, 9, 11])
    }
  }

  @Test("Another host is reached through ssh, and nothing of it is left afterwards")
  func overSSH() async throws {
    try await FakeHost.run { host, _ in
      // Stands in for ssh: links each local socket to its remote one, and stays.
      let program = """
        #!/bin/sh
        echo "$$" > \(host.directory)/ssh.pid
        while [ $# -gt 0 ]; do
          if [ "$1" = -L ]; then echo "${2%%:*}" >> \(host.directory)/links; ln -s "${2#*:}" "${2%%:*}"; fi
          shift
        done
        exec sleep 1000
        """
      let done = try await runWithSSH(program, host)
      #expect(done.code == 0 && done.output.contains("web"))
      let links = try String(contentsOfFile: "\(host.directory)/links", encoding: .utf8).split(separator: "\n")
      for link in links { #expect(!FileManager.default.fileExists(atPath: String(link))) }
      let text = try String(contentsOfFile: "\(host.directory)/ssh.pid", encoding: .utf8)
      let process = try #require(Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)))
      await awaitGone(process)
    }
  }

  @Test("What ssh complains about is said in one line, with what to try")
  func sshFails() async throws {
    try await FakeHost.run { host, _ in
      let done = try await runWithSSH("#!/bin/sh\necho 'a@b: Permission denied (publickey).' >&2\nexit 255\n", host)
      #expect(done.code == 69)
      #expect(
        done.errors == "ftctl: Cannot reach a@b by ssh: a@b: Permission denied (publickey).\nTry: ssh a@b true\n")
    }
  }

  private func runWithSSH(_ program: String, _ host: FakeHost) async throws -> (
    code: Int32, output: String, errors: String
  ) {
    let path = "\(host.directory)/ssh"
    try program.write(toFile: path, atomically: true, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
    return try await ftctl(
      "vm", "list", "--host", "a@b", "--run-directory", host.directory, host: host, path: host.directory)
  }

  private func awaitGone(_ process: Int32) async {
    for _ in 0..<1000 {
      // An orphan may have come to this process, which then has to let go of it.
      waitpid(process, nil, WNOHANG)
      if kill(process, 0) != 0 { return }
      try? await Task.sleep(for: .milliseconds(5))
    }
    Issue.record("ssh is left running")
  }
}
