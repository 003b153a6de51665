import Foundation
import Logging
import Primitives
import RPC
import RPCSocket
import StorageAPI
import Testing

@testable import StorageCore

/// A storage service behind its sockets, and the operator's client as a process.
final class TransferHost: Sendable {
  let host: TestHost
  let storage: Instance
  private let nbd: TestNBD
  private let serving: Task<Void, any Error>
  /// Where a test keeps its files.
  let files: String

  /// Whether qemu-img is there; says so where it is not.
  static func isPossible() async throws -> Bool {
    let found = try await StorageTests.run("qemu-img", "--version").status == 0
    if !found { Issue.record("NOT TESTED: qemu-img is not installed (apt-get install qemu-utils)", severity: .warning) }
    return found
  }

  static func run(_ body: (TransferHost) async throws -> Void) async throws {
    guard try await isPossible() else { return }
    let host = try await TransferHost()
    do { try await body(host) } catch {
      await host.stop()
      throw error
    }
    await host.stop()
  }

  private init() async throws {
    host = try TestHost()
    storage = try await host.start()
    nbd = try TestNBD(storage, in: host)
    files = "\(host.root)/files"
    try FileManager.default.createDirectory(atPath: files, withIntermediateDirectories: true)
    var router = Router(title: "storage", version: "1")
    storage.service.serve(on: &router)
    let listener = try #require(UnixSocket.listen("\(host.root)/run/storage.sock"))
    let server = RPCServer(
      listener: listener, router: router, policy: .sameUserIsEverything(),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    serving = Task { try await server.run() }
  }

  private func stop() async {
    serving.cancel()
    _ = try? await serving.value
    nbd.server.stop()
    await storage.stop()
  }

  /// The operator's client, not begun yet.
  func process(_ arguments: [String]) -> Process {
    let process = Process()
    let directory = Bundle.main.executableURL?.deletingLastPathComponent() ?? URL(filePath: ".")
    process.executableURL = directory.appendingPathComponent("ftctl")
    process.arguments = arguments + ["--run-directory", "\(host.root)/run"]
    (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
    return process
  }

  func ftctl(_ arguments: String...) async throws -> (status: Int32, output: String) { try await ftctl(arguments) }

  func ftctl(_ arguments: [String]) async throws -> (status: Int32, output: String) {
    let process = process(arguments)
    return try await StorageTests.run(
      [process.executableURL?.path ?? "ftctl"] + (process.arguments ?? []))
  }

  /// A raw file with a little at its beginning, its middle and its end.
  func makeRaw(_ name: String, bytes: Int, seed: UInt8 = 0xA5) throws -> String {
    let path = "\(files)/\(name)"
    #expect(FileManager.default.createFile(atPath: path, contents: nil))
    let file = try #require(FileHandle(forWritingAtPath: path))
    try file.truncate(atOffset: UInt64(bytes))
    for offset in [0, bytes / 2 + 1, bytes - 100] {
      try file.seek(toOffset: UInt64(offset))
      try file.write(contentsOf: Data(repeating: seed, count: 100))
    }
    try file.close()
    return path
  }

  func volumes() async throws -> [String] {
    try await storage.call(ListVolumes.self, Nothing()).volumes.map(\.volume.rawValue)
  }

  func images() async throws -> [ImageStatus] { try await storage.call(ListImages.self, Nothing()).images }
}
