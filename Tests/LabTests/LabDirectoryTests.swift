import Foundation
import HostConfiguration
import LabAPI
import Logging
import RPC
import Testing

@testable import Lab

@Suite("The directory of a lab", .serialized, .timeLimit(.minutes(2)))
struct LabDirectoryTests {
  private let logger = Logger(label: "lab") { _ in SwiftLogNoOpLogHandler() }

  private func complaint(_ configuration: LabConfiguration) async -> LabError? {
    do throws(LabError) {
      let lab = try await Lab.start(configuration, logger: logger)
      await lab.end()
      return nil
    } catch {
      return error
    }
  }

  @Test("A second lab in a directory is refused and says how to end the first")
  func second() async throws {
    try await LabHarness.run { lab in
      let scratch = try Scratch()
      defer { scratch.remove() }
      let again = LabConfiguration(directory: lab.directory, binaries: try scratch.makePrograms())
      let error = await complaint(again)
      #expect(error?.kind == .running)
      #expect(error?.description.contains("ftctl lab down") == true)
      #expect(Lab.isRunning(in: lab.directory))
    }
  }

  @Test("A path that leaves no room for the sockets is refused with the lengths")
  func longPath() async throws {
    let path = "/tmp/" + String(repeating: "x", count: 90)
    let error = await complaint(LabConfiguration(directory: path, binaries: "/nonexistent"))
    #expect(error?.kind == .directory)
    #expect(error?.description.contains("95 bytes") == true)
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test("A missing program is named")
  func missingProgram() async throws {
    let scratch = try Scratch()
    defer { scratch.remove() }
    let error = await complaint(LabConfiguration(directory: "\(scratch.path)/lab", binaries: "/nonexistent"))
    #expect(error?.kind == .programMissing)
    #expect(error?.description.contains("/nonexistent/ftvs-alerts") == true)
  }

  @Test("A directory run that no lab made is not touched")
  func foreignDirectory() async throws {
    let scratch = try Scratch()
    defer { scratch.remove() }
    let file = "\(scratch.path)/run/precious"
    try FileManager.default.createDirectory(atPath: "\(scratch.path)/run", withIntermediateDirectories: true)
    try Data().write(to: URL(fileURLWithPath: file))
    let error = await complaint(LabConfiguration(directory: scratch.path, binaries: try scratch.makePrograms()))
    #expect(error?.kind == .directory)
    #expect(FileManager.default.fileExists(atPath: file))
  }

  @Test("What is on the legs and in the configuration survives, what a reboot clears does not")
  func survives() throws {
    let scratch = try Scratch()
    defer { scratch.remove() }
    let configuration = LabConfiguration(directory: "\(scratch.path)/lab", binaries: try scratch.makePrograms())
    let first = try LabDirectory.open(configuration)
    first.close()
    let paths = first.paths
    let kept = "\(paths.directory)/legs/io0/kept"
    let mark = paths.host.shotMark(.cpu0)
    for file in [kept, mark] { try Data().write(to: URL(fileURLWithPath: file)) }
    try #"{"qemuProgram": "/opt/qemu"}"#.write(toFile: paths.configuration, atomically: true, encoding: .utf8)

    let second = try LabDirectory.open(configuration)
    defer { second.close() }
    #expect(FileManager.default.fileExists(atPath: kept))
    #expect(!FileManager.default.fileExists(atPath: mark))
    let json = try JSON.parse(Array(Data(contentsOf: URL(fileURLWithPath: paths.configuration))))
    let host = try WireCoder.decode(HostConfiguration.self, from: json, unknownMembers: .refuse)
    #expect(host.qemuProgram == "/opt/qemu")
    #expect(host.runDirectory == paths.run && host.labSocket == paths.socket)
  }

  @Test("What a killed lab left running is ended, and a process that only has the number is not")
  func leftovers() throws {
    let scratch = try Scratch()
    defer { scratch.remove() }
    let ours = try TestProcess("sleep", "1000")
    let foreign = try TestProcess("sleep", "1000")
    defer { for process in [ours, foreign] { process.end() } }
    let start = try #require(ProcessTable.entry(ours.processID)).startTicks
    let other = try #require(ProcessTable.entry(foreign.processID)).startTicks
    let file = "\(scratch.path)/processes"
    LeftBehind.record(
      "\(ours.processID) \(start) ftvs-vm@cpu0.service\n\(foreign.processID) \(other + 1) ftvs-vm@cpu1.service\nrubbish\n",
      at: file)
    LeftBehind.end(recordedAt: file)
    #expect(!ours.isRunning)
    #expect(foreign.isRunning)
    #expect(!FileManager.default.fileExists(atPath: file))
  }

  @Test("When the lab itself is killed nothing of it survives, and the next lab starts")
  func crash() async throws {
    let scratch = try Scratch()
    defer { scratch.remove() }
    let directory = "\(scratch.path)/lab"
    let programs = try scratch.makePrograms()
    let ftctl = Bundle.main.executableURL?.deletingLastPathComponent().appendingPathComponent("ftctl").path ?? ""
    let program = ProcessInfo.processInfo.environment["FTVS_BUILT_PRODUCTS"].map { "\($0)/ftctl" } ?? ftctl
    try #require(FileManager.default.isExecutableFile(atPath: program), "\(program) is not built")
    let lab = try TestProcess(
      program, "lab", "up", "--foreground", "--directory", directory, environment: ["FTVS_BINARIES": programs])
    defer { lab.end() }
    let units = try await TestProcess.recorded(at: LabPaths(directory: directory).processes, count: 10)
    kill(lab.processID, SIGKILL)
    lab.awaitEnd()
    for unit in units { await TestProcess.awaitGone(unit) }
    #expect(!Lab.isRunning(in: directory))
    let next = try LabDirectory.open(LabConfiguration(directory: directory, binaries: programs))
    next.close()
  }
}
