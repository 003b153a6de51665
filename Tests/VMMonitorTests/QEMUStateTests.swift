import Foundation
import Glibc
import HostConfiguration
import Primitives
import Testing

@testable import VMMonitorCore

/// What is asked of a real QEMU: its guest is the firmware alone.
@Suite(.timeLimit(.minutes(1))) struct QEMUStateTests {
  private static let isInstalled = QEMUSmokeTests.isInstalled

  private final class Guest {
    let process = Process()
    let instance: QEMUInstance

    init(_ directory: String, _ name: String, _ more: [String] = []) async throws {
      let socket = "\(directory)/\(name).qmp"
      process.executableURL = URL(fileURLWithPath: QEMUSmokeTests.program)
      process.arguments =
        [
          "-accel", "tcg", "-machine", "q35", "-m", "65544k", "-nodefaults", "-no-user-config", "-display", "none",
          "-device", "VGA", "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
          "-chardev", "socket,id=control,path=\(socket),server=on,wait=off", "-mon", "chardev=control,mode=control",
          "-S",
        ] + more
      try process.run()
      let reactor = try #require(SocketReactor.shared)
      let client = try await QMPClient.connect(
        path: socket, reactor: reactor, patience: .seconds(20), answerTime: .seconds(20))
      instance = QEMUInstance(client, engine: "test")
    }

    deinit {
      if process.isRunning { kill(process.processIdentifier, SIGKILL) }
      process.waitUntilExit()
    }
  }

  @Test(.enabled(if: isInstalled, "install qemu-system-x86"))
  func aRealGuestIsPausedPicturedAndCarriedOverInAFile() async throws {
    let bench = try Bench()
    let guest = try await Guest(bench.directory, "first")
    let instance = guest.instance
    try await instance.resume()
    let picture = try #require(PNGSize(try await instance.screenshot()))
    #expect(picture.width >= 640 && picture.height >= 400)
    try await instance.press(["ctrl", "alt", "delete"], holding: 1)
    try await instance.interrupt()
    try await instance.reset(whereRebootEnds: true)
    _ = try await instance.statistics()
    try await instance.pause()
    #expect(try await instance.status() == .paused)

    let file = "\(bench.directory)/state"
    let writer = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    try await instance.save(to: writer)
    close(writer)
    #expect(try FileManager.default.attributesOfItem(atPath: file)[.size] as? Int ?? 0 > 100_000)
    // What was saved can still go on, until it is ended.
    try await instance.cancelSave()
    try await instance.resume()
    #expect(try await instance.status() == .running)

    let second = try await Guest(bench.directory, "second", ["-incoming", "defer"])
    let reader = open(file, O_RDONLY | O_CLOEXEC)
    try await second.instance.load(from: reader)
    close(reader)
    #expect(try await second.instance.status() == .paused)
    try await second.instance.resume()
    #expect(try await second.instance.status() == .running)
    withExtendedLifetime((guest, second)) {}
  }

  @Test(.enabled(if: isInstalled, "install qemu-system-x86"))
  func aStreamThatNobodyTakesLeavesTheGuestAsItWas() async throws {
    let bench = try Bench()
    let guest = try await Guest(bench.directory, "first")
    try await guest.instance.resume()
    try await guest.instance.pause()
    var ends: [Int32] = [-1, -1]
    #expect(pipe(&ends) == 0)
    close(ends[0])
    await #expect(throws: EngineError.self) { try await guest.instance.save(to: ends[1]) }
    close(ends[1])
    try await guest.instance.cancelSave()
    try await guest.instance.resume()
    #expect(try await guest.instance.status() == .running)

    let second = try await Guest(bench.directory, "second", ["-incoming", "defer"])
    let nothing = open("/dev/null", O_RDONLY | O_CLOEXEC)
    await #expect(throws: EngineError.self) { try await second.instance.load(from: nothing) }
    close(nothing)
    withExtendedLifetime((guest, second)) {}
  }
}
