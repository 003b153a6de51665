import DomainXML
import Foundation
import HostConfiguration
import Primitives
import Testing

@testable import VMMonitorCore

/// The engine with a real QEMU and no guest but the firmware.
@Suite(.timeLimit(.minutes(1))) struct QEMUSmokeTests {
  static let program = "/usr/bin/qemu-system-x86_64"
  /// Built beside the tests.
  static let launcher = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    .appendingPathComponent("ftvs-guest")
  static let isInstalled = FileManager.default.isExecutableFile(atPath: program)

  @Test(.enabled(if: isInstalled, "install qemu-system-x86"), arguments: ["q35", "pc"])
  func aRealGuestIsPreparedAttachedResumedAndEndsInOrder(machine: String) async throws {
    let bench = try Bench()
    var configuration = bench.configuration
    configuration.accelerator = "tcg"
    let engine = try #require(QEMUEngine(configuration))
    let xml = """
      <domain type='kvm'><name>smoke</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
      <os><type machine='\(machine)'>hvm</type></os>
      <devices><interface type='user'/><serial type='pty'/><rng model='virtio'><backend model='random'/></rng></devices>
      </domain>
      """
    let domain = try Domain(xml: xml)
    try await engine.prepare(
      GuestPlan(
        domain: domain, uuid: "6f1c9c1e-7c1f-4f8a-9c53-2f7d1c2f9a10", slot: 0, module: .cpu0, disks: []))
    let process = Process()
    process.executableURL = Self.launcher
    process.arguments = [GuestFiles(HostPaths(configuration), slot: 0, module: .cpu0).arguments]
    try process.run()
    defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

    let instance = try await engine.attach(slot: 0, module: .cpu0, patience: .seconds(20), answerTime: .seconds(20))
    #expect(instance.engine == "qemu/tcg")
    #expect(try await instance.status() == .waiting)
    #expect(await !engine.endedInOrder(slot: 0, module: .cpu0))
    try await instance.resume()
    #expect(try await instance.status() == .running)
    var events = instance.events.makeAsyncIterator()
    #expect(await events.next() == .resumed)

    // A monitor that takes over connects while the old one's connection is gone.
    instance.close()
    let second = try await engine.attach(slot: 0, module: .cpu0, patience: .seconds(5), answerTime: .seconds(5))
    #expect(try await second.status() == .running)

    process.terminate()
    var last: EngineEvent?
    for await event in second.events { last = event }
    #expect(last == .ended("host-signal"))
    process.waitUntilExit()
    #expect(await engine.endedInOrder(slot: 0, module: .cpu0))
  }

  @Test func theLauncherRefusesAFileThatOthersCanWrite() throws {
    let bench = try Bench()
    let path = "\(bench.directory)/args"
    try Data("ftvs-guest-1\0/bin/true\0".utf8).write(to: URL(fileURLWithPath: path))
    #expect(chmod(path, 0o666) == 0)
    #expect(try status(path) == 78)
    #expect(chmod(path, 0o644) == 0)
    #expect(try status(path) == 0)
  }

  @Test(arguments: ["", "ftvs-guest-1\0/bin/true", "ftvs-guest-2\0/bin/true\0", "ftvs-guest-1\0true\0"])
  func theLauncherRefusesAFileThatIsNotOurs(contents: String) throws {
    let bench = try Bench()
    let path = "\(bench.directory)/args"
    try Data(contents.utf8).write(to: URL(fileURLWithPath: path))
    #expect(try status(path) == 78)
  }

  private func status(_ path: String) throws -> Int32 {
    let process = Process()
    process.executableURL = Self.launcher
    process.arguments = [path]
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus
  }
}
