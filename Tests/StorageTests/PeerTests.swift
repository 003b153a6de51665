import BlockLayers
import Foundation
import Glibc
import Logging
import NBD
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

/// An NBD server for an instance of the storage service.
final class TestNBD: Sendable {
  let socketPath: String
  private let listener: Int32
  let server: NBDServer

  init(_ instance: Instance, in host: TestHost) throws {
    socketPath = "\(host.root)/run/nbd.sock"
    unlink(socketPath)
    let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    self.listener = listener
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let path = socketPath
    try #require(path.utf8.count < 108)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(bound == 0)
    try #require(listen(listener, 128) == 0)
    var logger = Logger(label: "nbd-test")
    logger.logLevel = .critical
    server = NBDServer(listener: listener, exports: ExportProvider(instance.service), logger: logger)
    try #require(server.start())
    instance.service.attach(server)
  }

  deinit { close(listener) }

  func uri(_ exportName: String) -> String { "nbd+unix:///\(exportName)?socket=\(socketPath)" }
}

/// Runs a program to its end. It is ended itself after a minute.
func run(_ arguments: String...) async throws -> (status: Int32, output: String) { try await run(arguments) }

func run(_ arguments: [String]) async throws -> (status: Int32, output: String) {
  let process = Process()
  process.executableURL = URL(filePath: "/usr/bin/env")
  process.arguments = ["timeout", "60"] + arguments
  let pipe = Pipe()
  process.standardOutput = pipe
  process.standardError = pipe
  try process.run()
  return await WorkerPool(name: "test-process", limit: 1).run {
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: output, as: UTF8.self))
  }
}

/// The peers that the tests use: qemu-io, nbdcopy and nbdinfo (Debian: qemu-utils, libnbd-bin) and fio.
@Suite(.timeLimit(.minutes(2))) struct PeerTests {
  @Test func whatQEMUWritesIsReadByCallAndSurvivesAKill() async throws {
    let host = try TestHost()
    let first = try await host.start()
    let nbd = try TestNBD(first, in: host)
    try await first.create("disk", undo: true)
    let export = try await first.call(ExportVolume.self, .init(volume: "disk", clientUserID: Int(getuid())))
    let (status, output) = try await run(
      "qemu-io", "-f", "raw", "-c", "write -P 0x41 0 1M", "-c", "flush", "-c", "write -z 4k 4k", "-c", "flush",
      nbd.uri(export.exportName))
    #expect(status == 0, "\(output)")
    await first.kill()
    nbd.server.stop()

    let second = try await host.start()
    let again = try TestNBD(second, in: host)
    let (verified, text) = try await run(
      "qemu-io", "-f", "raw", "-c", "read -P 0x41 0 4k", "-c", "read -P 0 4k 4k", "-c", "read -P 0x41 8k 1016k",
      again.uri(export.exportName))
    #expect(verified == 0 && !text.contains("verification failed"), "\(text)")
    await second.stop()
    #expect(try host.legsAreEqual())
  }

  @Test func nbdcopyPutsAFileInAndGetsItOutOverSeveralConnections() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    let nbd = try TestNBD(storage, in: host)
    try await storage.create("disk", size: 24 << 20)
    let export = try await storage.call(ExportVolume.self, .init(volume: "disk", clientUserID: Int(getuid())))
    let original = "\(host.root)/original"
    var bytes = Data(count: 24 << 20)
    for index in stride(from: 0, to: 20 << 20, by: 4096) {
      bytes[index] = UInt8.random(in: 1...255)
    }
    try bytes.write(to: URL(filePath: original))
    let (status, output) = try await run("nbdcopy", "--flush", original, nbd.uri(export.exportName))
    #expect(status == 0, "\(output)")
    let (back, text) = try await run("nbdcopy", nbd.uri(export.exportName), "\(host.root)/copy")
    #expect(back == 0, "\(text)")
    #expect(FileManager.default.contentsEqual(atPath: original, andPath: "\(host.root)/copy"))
    await storage.stop()
    #expect(try host.legsAreEqual())
  }

  @Test func theListShowsAUserItsOwnExports() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    let nbd = try TestNBD(storage, in: host)
    try await storage.create("mine")
    try await storage.create("other")
    let mine = try await storage.call(ExportVolume.self, .init(volume: "mine", clientUserID: Int(getuid())))
    _ = try await storage.call(ExportVolume.self, .init(volume: "other", clientUserID: Int(getuid()) + 1))
    let (status, output) = try await run("nbdinfo", "--list", "nbd+unix:///?socket=\(nbd.socketPath)")
    #expect(status == 0, "\(output)")
    #expect(output.contains(mine.exportName))
    #expect(!output.contains("other"))
    await storage.stop()
  }

  @Test func aFenceCutsOffAClientThatWrites() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    let nbd = try TestNBD(storage, in: host)
    try await storage.create("disk")
    let export = try await storage.call(ExportVolume.self, .init(volume: "disk", clientUserID: Int(getuid())))
    async let client = run(
      "fio", "--name=load", "--ioengine=nbd", "--uri=\(nbd.uri(export.exportName))", "--rw=randwrite", "--bs=4k",
      "--iodepth=16", "--time_based", "--runtime=30", "--size=8m")
    while try await storage.show("disk").sessions == 0 { await Task.yield() }
    let status = try await storage.call(FenceVolume.self, .init(volume: "disk"))
    #expect(status.sessions == 0)
    try await storage.write("new owner", to: "disk", at: 0)
    #expect(try await client.status != 0)
    #expect(try await storage.text(of: "disk", at: 0) == "new owner")
    await storage.stop()
  }

  @Test func aVolumeIsInUseUntilItsClientLeaves() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    let nbd = try TestNBD(storage, in: host)
    try await storage.create("disk", undo: true)
    let export = try await storage.call(ExportVolume.self, .init(volume: "disk", clientUserID: Int(getuid())))
    _ = try await run("qemu-io", "-f", "raw", "-c", "write -P 7 0 4k", nbd.uri(export.exportName))
    // The client has left: the volume is free at once, without a fence.
    let status = try await storage.call(DiscardUndo.self, .init(volume: "disk"))
    #expect(!status.hasUndoLayer)
    #expect(try await storage.text(of: "disk", at: 0) == "")
    await storage.stop()
  }
}
