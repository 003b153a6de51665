import Foundation
import Testing

@testable import Lab

/// A process of a test, in a session of its own.
final class TestProcess: Sendable {
  let processID: Int32

  init(_ command: String..., environment: [String: String] = [:]) throws {
    let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let arguments = command.map { strdup($0) } + [nil]
    let values = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for copy in arguments + values { free(copy) } }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, 0x80)
    var process: pid_t = 0
    try #require(posix_spawnp(&process, command[0], nil, &attributes, arguments, values) == 0)
    processID = process
  }

  var isRunning: Bool { ProcessTable.entry(processID).map { $0.state != UInt8(ascii: "Z") } ?? false }

  /// Kills it, when it still runs.
  func end() {
    kill(processID, SIGKILL)
    awaitEnd()
  }

  func awaitEnd() { waitpid(processID, nil, 0) }

  /// The processes that a lab notes in its file, once there are so many.
  static func recorded(at path: String, count: Int) async throws -> [ProcessEntry] {
    for _ in 0..<3000 {
      let lines = (try? String(contentsOfFile: path, encoding: .utf8))?.split(separator: "\n") ?? []
      let entries = lines.compactMap { Int32($0.split(separator: " ")[0]) }.compactMap(ProcessTable.entry)
      if entries.count >= count { return entries }
      try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("The lab did not start \(count) processes.")
    return []
  }

  static func awaitGone(_ process: ProcessEntry) async {
    for _ in 0..<1000 {
      guard let now = ProcessTable.entry(process.processID), now.startTicks == process.startTicks,
        now.state != UInt8(ascii: "Z")
      else { return }
      try? await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("Process \(process.processID) survived its lab.")
  }
}

/// A connection to a Unix socket.
struct TestSocket {
  private let descriptor: Int32

  init(connectedTo path: String) throws {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(connected == 0)
  }

  func close() { Foundation.close(descriptor) }
}
