import AlertAPI
import BlockLayers
import ControlState
import Foundation
import Logging
import Primitives
import RPC
import ServiceAPI
import StorageAPI
import Synchronization
import Testing

@testable import StorageCore

/// The directories of a host, in which instances of the storage service begin and end. Removed with the object.
final class TestHost: Sendable {
  let root: String
  let alerts = AlertLog()

  private let hasSecondPaths: Bool

  /// - Parameter secondPaths: whether each leg is reached by a symbolic link, too.
  init(secondPaths: Bool = false) throws {
    hasSecondPaths = secondPaths
    root = FileManager.default.temporaryDirectory.path + "/ftvs-storage-\(UUID().uuidString.prefix(8))"
    for name in ["io0/storage", "io1/storage", "run/shot", "run/path", "local/storage"] {
      try FileManager.default.createDirectory(atPath: "\(root)/\(name)", withIntermediateDirectories: true)
    }
    guard secondPaths else { return }
    for leg in LegID.allCases {
      try FileManager.default.createSymbolicLink(
        atPath: "\(root)/\(leg)-second", withDestinationPath: "\(root)/\(leg)")
    }
  }

  deinit { try? FileManager.default.removeItem(atPath: root) }

  func leg(_ leg: LegID) -> String { "\(root)/\(leg)/storage" }
  func shotMark(_ leg: LegID) -> String { "\(root)/run/shot/\(leg)" }
  func pathMark(_ leg: LegID, _ path: Int) -> String { "\(root)/run/path/\(leg).\(path)" }

  private var secondDirectories: [LegID: String] {
    hasSecondPaths ? [.io0: "\(root)/io0-second/storage", .io1: "\(root)/io1-second/storage"] : [:]
  }

  private var pathMarks: [LegID: [String]] {
    [.io0: [pathMark(.io0, 0), pathMark(.io0, 1)], .io1: [pathMark(.io1, 0), pathMark(.io1, 1)]]
  }

  var files: LegFiles { LegFiles(roots: [.io0: leg(.io0), .io1: leg(.io1)]) }

  /// Starts an instance on what the last one left.
  func start(beforeStep: @escaping @Sendable (String) throws -> Void = { _ in }) async throws -> Instance {
    let hook = ResyncHook()
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    var configuration = ControlState.Configuration(
      service: .storage, legDirectories: [.io0: leg(.io0), .io1: leg(.io1)],
      witness: "\(root)/local/storage/witness.json",
      shotMarks: [.io0: shotMark(.io0), .io1: shotMark(.io1)], migrations: StorageSchema.migrations,
      resyncData: { leg, progress in try await hook.resync(to: leg, progress: progress) })
    (configuration.secondDirectories, configuration.pathMarks) = (secondDirectories, pathMarks)
    let state = try await ControlState.open(configuration, logger: logger)
    let alerts = self.alerts
    var environment = StorageEnvironment(
      legDirectories: [.io0: leg(.io0), .io1: leg(.io1)],
      shotMarks: [.io0: shotMark(.io0), .io1: shotMark(.io1)], metadataLogs: "\(root)/run/metadata",
      nbdSocketPath: "\(root)/run/nbd.sock",
      // Disks that are slow because of something else are not what is tested here.
      legAnswerBound: .seconds(30),
      publish: { severity, kind, subject, message, data in
        alerts.append(.init(severity: severity, kind: kind, subject: subject, message: message, data: data))
      }, logger: logger)
    environment.beforeStep = beforeStep
    (environment.secondDirectories, environment.pathMarks) = (secondDirectories, pathMarks)
    let service = try await StorageService.open(state: state, environment: environment)
    hook.attach(service)
    return Instance(host: self, service: service, state: state)
  }

  /// Takes an I/O module out of service, as the hardware supervisor does.
  func shoot(_ leg: LegID) throws { try Data().write(to: URL(filePath: shotMark(leg))) }

  /// Cuts a path to a leg, as the hardware supervisor does.
  func cut(_ leg: LegID, _ path: Int) throws { try Data("a test".utf8).write(to: URL(filePath: pathMark(leg, path))) }

  func restore(_ leg: LegID, _ path: Int) { try? FileManager.default.removeItem(atPath: pathMark(leg, path)) }

  func bringBack(_ leg: LegID) throws { try FileManager.default.removeItem(atPath: shotMark(leg)) }

  /// Whether every layer file has the same bytes on both legs.
  func legsAreEqual() throws -> Bool {
    let one = try files.list(on: .io0)
    guard one == (try files.list(on: .io1)) else { return false }
    return one.allSatisfy { path in
      FileManager.default.contentsEqual(atPath: files.path(path, on: .io0), andPath: files.path(path, on: .io1))
    }
  }
}

/// What was published.
final class AlertLog: Sendable {
  struct Entry: Sendable {
    var severity: Severity
    var kind: String
    var subject: String
    var message: String
    var data: [String: JSONValue]
  }

  private let published = Mutex<[Entry]>([])

  var entries: [Entry] { published.withLock { $0 } }

  func append(_ entry: Entry) { published.withLock { $0.append(entry) } }

  /// The first alert of a kind, once it was published; ends with the test's time limit when it never is.
  func first(_ kind: String) async throws -> Entry {
    while true {
      if let entry = entries.first(where: { $0.kind == kind }) { return entry }
      try await Task.sleep(for: .milliseconds(1))
    }
  }
}

/// A running instance of the storage service.
final class Instance: Sendable {
  let service: StorageService
  let state: ControlState
  let caller: RouterCaller
  private let host: TestHost
  private let running: Task<Void, any Error>

  init(host: TestHost, service: StorageService, state: ControlState) {
    self.host = host
    self.service = service
    self.state = state
    var router = Router(title: "storage", version: "1")
    service.serve(on: &router)
    caller = RouterCaller(router, as: .root)
    running = Task { try await service.run() }
  }

  /// Ends it as a change of the active instance does.
  func stop() async {
    await service.drain()
    running.cancel()
    _ = try? await running.value
    await state.close()
  }

  /// Ends it as a kill does: nothing is flushed, nothing is closed.
  ///
  /// - Parameter devices: what clients still use; it is never let go of, because that would close the layers.
  func kill(_ devices: SessionDevice...) async {
    for device in devices { _ = Unmanaged.passRetained(device) }
    running.cancel()
    _ = try? await running.value
    await state.close()
  }

  func call<M: RPCMethod>(_ method: M.Type, _ params: M.Params) async throws -> M.Result {
    try await caller.call(method, params)
  }

  @discardableResult
  func create(
    _ volume: VolumeName, size: Int64? = 8 << 20, image: ImageName? = nil, undo: Bool? = nil, key: RequestKey? = nil
  ) async throws -> VolumeStatus {
    try await call(
      CreateVolume.self, .init(volume: volume, sizeBytes: size, image: image, undo: undo, requestKey: key))
  }

  func write(_ text: String, to volume: VolumeName, at offset: Int64) async throws {
    let data = Data((text + String(repeating: "\0", count: 512 - text.utf8.count)).utf8)
    let result = try await call(
      WriteVolume.self, .init(volume: volume, offsetBytes: offset, data: data.base64EncodedString()))
    #expect(result.writtenBytes == 512)
  }

  func text(of volume: VolumeName, at offset: Int64) async throws -> String {
    let result = try await call(ReadVolume.self, .init(volume: volume, offsetBytes: offset, countBytes: 512))
    let bytes = try #require(Data(base64Encoded: result.data))
    return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }

  func show(_ volume: VolumeName) async throws -> VolumeStatus {
    try await call(ShowVolume.self, .init(volume: volume))
  }

  /// Whether the files on each leg in step are exactly those that the state accounts for.
  func requireNoStrayFiles(_ comment: Comment? = nil) async throws {
    let layers = try await state.read { database in try Catalog.layers(in: database).map(\.path).sorted() }
    let loose = try await state.read { database in try Catalog.looseFiles(in: database) }
    #expect(loose.isEmpty, comment)
    for leg in service.legs.inStep { #expect(try host.files.list(on: leg).sorted() == layers, comment) }
  }
}

extension VolumeName: ExpressibleByStringLiteral {
  public init(stringLiteral value: String) { self.init(unchecked: value) }
}

extension ImageName: ExpressibleByStringLiteral {
  public init(stringLiteral value: String) { self.init(unchecked: value) }
}

/// The error that a call ends with.
func failure(_ body: () async throws -> some Any) async -> RPCError? {
  do {
    _ = try await body()
    return nil
  } catch {
    return error as? RPCError
  }
}

func newKey() -> RequestKey { .random(millisecondsSinceEpoch: millisecondsSinceEpoch()) }
