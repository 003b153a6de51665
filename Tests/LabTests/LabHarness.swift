import Foundation
import LabAPI
import Logging
import RPC
import RPCSocket
import Testing

@testable import Lab

/// A lab in this process whose programs are small scripts.
///
/// A script does what the file `behaviour/UNIT` says: `hang` gives no sign of life after READY, `refuse` ends at once,
/// `stray` has a child in a session of its own.
struct LabHarness: Sendable {
  let directory: String
  let client: RPCClient
  var paths: LabPaths { LabPaths(directory: directory) }

  static func run(
    behaviour: [String: String] = [:], watchdog: Duration = .seconds(20),
    _ body: @escaping @Sendable (LabHarness) async throws -> Void
  ) async throws {
    let scratch = try Scratch()
    defer { scratch.remove() }
    let directory = "\(scratch.path)/lab"
    try FileManager.default.createDirectory(atPath: "\(directory)/behaviour", withIntermediateDirectories: true)
    for (unit, word) in behaviour {
      try word.write(toFile: "\(directory)/behaviour/\(unit)", atomically: true, encoding: .utf8)
    }
    var configuration = LabConfiguration(directory: directory, binaries: try scratch.makePrograms())
    configuration.timing.watchdog = watchdog
    let lab = try await Lab.start(configuration, logger: Logger(label: "lab") { _ in SwiftLogNoOpLogHandler() })
    let running = Task { try await lab.run() }
    do {
      let client = try await RPCClient.connect(path: LabPaths(directory: directory).socket)
      try await body(LabHarness(directory: directory, client: client))
      client.close()
    } catch {
      await lab.end()
      throw error
    }
    await lab.end()
    try await running.value
  }

  func units() async throws -> [LabUnit] { try await client.call(ListLabUnits.self).units }

  func unit(_ name: String) async throws -> LabUnit { try await client.call(ShowLabUnit.self, .init(unit: name)) }

  func kill(_ name: String, _ signal: Int32 = SIGKILL) async throws {
    _ = try await client.call(KillLabUnit.self, .init(unit: name, signal: Int(signal)))
  }

  /// Waits until every unit that should be there is ready.
  func allReady() async throws { for name in UnitName.standing { _ = try await start("\(name)") } }

  /// Answers when the unit is ready, whether it is starting already or not.
  @discardableResult
  func start(_ name: String) async throws -> LabUnit {
    try await client.call(StartLabUnit.self, .init(unit: name))
  }

  /// Follows the lab until a unit is as wanted.
  func await(_ name: String, _ condition: @escaping @Sendable (LabUnit) -> Bool) async throws -> LabUnit {
    try await withThrowingTaskGroup(of: LabUnit?.self) { tasks in
      tasks.addTask {
        for try await unit in try await client.subscribe(FollowLabUnits.self) where unit.unit == name {
          if condition(unit) { return unit }
        }
        return nil
      }
      tasks.addTask {
        try await Task.sleep(for: .seconds(30))
        return nil
      }
      defer { tasks.cancelAll() }
      let found = try await tasks.next() ?? nil
      return try #require(found, "\(name) did not become what was waited for")
    }
  }

  func mark(_ module: String) throws {
    try Data().write(to: URL(fileURLWithPath: "\(paths.run)/shot/\(module)"))
  }

  func unmark(_ module: String) throws {
    try FileManager.default.removeItem(atPath: "\(paths.run)/shot/\(module)")
  }

  func log(_ unit: String) throws -> String { try String(contentsOfFile: paths.log(of: unit), encoding: .utf8) }
}

/// A directory of one test, short enough for Unix sockets.
struct Scratch: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/ftvs-lab-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  func remove() { try? FileManager.default.removeItem(atPath: path) }

  /// Writes the programs of a lab; answers their directory.
  func makePrograms() throws -> String {
    let directory = "\(path)/bin"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    for name in ["hardware", "vm", "storage", "alerts", "module"] {
      try write(Self.daemon, "\(directory)/ftvs-\(name)")
    }
    try write("#!/bin/sh\nexec $(cat \"$1\")\n", "\(directory)/ftvs-guest")
    return directory
  }

  private func write(_ text: String, _ file: String) throws {
    try text.write(toFile: file, atomically: true, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: file)
  }

  private static let daemon = """
    #!/usr/bin/env python3
    import os, socket, subprocess, sys, time
    unit = os.path.basename(sys.argv[0]) + "@" + sys.argv[2] + ".service"
    directory = os.path.dirname(os.environ["FTVS_CONFIGURATION"])
    def behaviour():
        try:
            return open(directory + "/behaviour/" + unit).read()
        except OSError:
            return ""
    def tell(text):
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.connect(os.environ["NOTIFY_SOCKET"])
        sender.send(text.encode())
        sender.close()
    print("names", os.environ.get("LISTEN_FDNAMES"), "count", os.environ.get("LISTEN_FDS"),
        "own", os.environ["LISTEN_PID"] == str(os.getpid()), flush=True)
    if behaviour() == "refuse":
        sys.exit(3)
    if behaviour() == "stray":
        stray = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        print("stray", stray.pid, flush=True)
    tell("READY=1\\nSTATUS=ready")
    while True:
        if behaviour() != "hang":
            tell("WATCHDOG=1")
        time.sleep(0.05)
    """
}
