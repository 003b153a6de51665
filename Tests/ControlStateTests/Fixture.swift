import FoundationEssentials
import GRDB
import Glibc
import Logging
import Primitives
import RPC
import ServiceAPI
import Synchronization

@testable import ControlState

/// Two legs, a witness and shot marks in a directory of their own.
final class Fixture: Sendable {
  let root: String
  let clock = Mutex<Int64>(1_700_000_000_000)
  static let migrations = ["CREATE TABLE item (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"]

  init() {
    root = FileManager.default.temporaryDirectory.path + "/ftvs-state-\(UInt64.random(in: .min ... .max))"
    for directory in ["io0", "io1", "local", "shot"] {
      try? FileManager.default.createDirectory(atPath: "\(root)/\(directory)", withIntermediateDirectories: true)
    }
  }

  deinit { try? FileManager.default.removeItem(atPath: root) }

  var witness: String { "\(root)/local/witness.json" }
  func leg(_ leg: LegID) -> String { "\(root)/\(leg.rawValue)" }
  func mark(_ leg: LegID) -> String { "\(root)/shot/\(leg.rawValue)" }

  func configuration(_ edit: (inout ControlState.Configuration) -> Void = { _ in }) -> ControlState.Configuration {
    var configuration = ControlState.Configuration(
      service: .vm, legDirectories: [.io0: leg(.io0) + "/vm", .io1: leg(.io1) + "/vm"], witness: witness,
      shotMarks: [.io0: mark(.io0), .io1: mark(.io1)], migrations: Self.migrations)
    configuration.now = { [self] in clock.withLock { $0 } }
    configuration.watchInterval = .milliseconds(10)
    configuration.retryDelay = .milliseconds(10)
    edit(&configuration)
    return configuration
  }

  func open(
    _ edit: (inout ControlState.Configuration) -> Void = { _ in }
  ) async throws(ControlStateError) -> ControlState {
    var logger = Logger(label: "test")
    logger.logLevel = ProcessInfo.processInfo.environment["FTVS_TEST_LOG"] == nil ? .critical : .debug
    return try await ControlState.open(configuration(edit), logger: logger)
  }

  // MARK: Mishaps

  /// Takes a leg's directory away under the running state.
  func lose(_ leg: LegID) throws {
    try FileManager.default.moveItem(atPath: self.leg(leg), toPath: self.leg(leg) + ".away")
  }

  /// Brings it back with what it held then.
  func bringBack(_ leg: LegID) throws {
    try? FileManager.default.removeItem(atPath: self.leg(leg))
    try FileManager.default.moveItem(atPath: self.leg(leg) + ".away", toPath: self.leg(leg))
  }

  func shoot(_ leg: LegID) { _ = FileManager.default.createFile(atPath: mark(leg), contents: nil) }
  func release(_ leg: LegID) throws { try FileManager.default.removeItem(atPath: mark(leg)) }

  /// A copy of everything as it is now, as a crash of the process at this moment leaves it.
  func crash() throws -> Fixture {
    let copy = Fixture()
    try FileManager.default.removeItem(atPath: copy.root)
    try FileManager.default.copyItem(atPath: root, toPath: copy.root)
    copy.clock.withLock { $0 = clock.withLock { $0 } }
    return copy
  }

  func copy(_ leg: LegID, aside name: String) throws {
    try? FileManager.default.removeItem(atPath: "\(root)/\(name)")
    try FileManager.default.copyItem(atPath: self.leg(leg), toPath: "\(root)/\(name)")
  }

  func put(_ name: String, as leg: LegID) throws {
    try? FileManager.default.removeItem(atPath: self.leg(leg))
    try FileManager.default.copyItem(atPath: "\(root)/\(name)", toPath: self.leg(leg))
  }
}

extension ControlState {
  func add(_ text: String) async throws(RPCError) {
    try await write { transaction in try transaction.execute("INSERT INTO item (text) VALUES (?)", [text]) }
  }

  func items() async throws(RPCError) -> [String] {
    try await read { try String.fetchAll($0, sql: "SELECT text FROM item ORDER BY id") }
  }

  /// Waits until the legs are in these states.
  func reaches(_ io0: LegState, _ io1: LegState) async -> Bool {
    for await legs in legChanges() where legs.map(\.state) == [io0, io1] { return true }
    return false
  }
}
