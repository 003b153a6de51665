import DomainXML
import Foundation
import Glibc
import HostConfiguration
import Primitives
import RPC
import Testing

@testable import VMMonitorCore

/// Moves between two real QEMU processes that the engine prepared. The guest is the firmware, which finds nothing to boot
/// and counts the ticks of its clock in memory.
@Suite(.timeLimit(.minutes(1))) struct QEMUMoveTests {
  private static let isInstalled = QEMUSmokeTests.isInstalled

  /// No descriptor is left.
  private struct Full: Error {}

  private final class Host {
    let bench: Bench
    let configuration: HostConfiguration
    let engine: QEMUEngine
    let domain: Domain
    private var processes: [Process] = []

    init() throws {
      bench = try Bench()
      var configuration = bench.configuration
      configuration.accelerator = "tcg"
      self.configuration = configuration
      engine = try #require(QEMUEngine(configuration))
      domain = try Domain(
        xml: """
          <domain type='kvm'><name>move</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
          <os><type machine='pc'>hvm</type></os><devices><serial type='pty'/></devices></domain>
          """)
    }

    func files(_ module: ModuleID) -> GuestFiles { GuestFiles(HostPaths(configuration), slot: 0, module: module) }

    func plan(_ module: ModuleID, memory: GuestPlan.SharedMemory?, isArriving: Bool = false) -> GuestPlan {
      GuestPlan(
        domain: domain, uuid: "6f1c9c1e-7c1f-4f8a-9c53-2f7d1c2f9a10", slot: 0, module: module, disks: [],
        isRestored: isArriving, sharedMemory: memory)
    }

    func start(
      _ module: ModuleID, memory: GuestPlan.SharedMemory?, isArriving: Bool = false
    ) async throws -> (QEMUInstance, Process) {
      try await engine.prepare(plan(module, memory: memory, isArriving: isArriving))
      let process = Process()
      process.executableURL = QEMUSmokeTests.launcher
      process.arguments = [files(module).arguments]
      try process.run()
      processes.append(process)
      let instance = try await engine.attach(
        slot: 0, module: module, patience: .seconds(20), answerTime: .seconds(20))
      return (try #require(instance as? QEMUInstance), process)
    }

    deinit {
      for process in processes {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
      }
    }
  }

  /// The firmware's count.
  private func ticks(_ instance: QEMUInstance) async throws -> UInt32 {
    let answer = try await instance.value("human-monitor-command", ["command-line": "xp /1wx 0x46c"])
    let word = try #require(answer.string?.split(whereSeparator: \.isWhitespace).last?.dropFirst(2))
    return try #require(UInt32(word, radix: 16))
  }

  private func untilCounting(_ instance: QEMUInstance) async throws -> UInt32 {
    var last = try await ticks(instance)
    var advances = 0
    while advances < 3 {
      try await Task.sleep(for: .milliseconds(20))
      let next = try await ticks(instance)
      if next > last, last > 0 { advances += 1 }
      last = next
    }
    return last
  }

  private func move(
    _ source: QEMUInstance, _ destination: QEMUInstance, sharing: Bool
  ) async throws -> QEMUInstance.Move {
    guard var pair = SocketPair(patience: .seconds(20)) else { throw Full() }
    let (ours, theirs) = (pair.ours, pair.theirs)
    async let arrival: Void = destination.arrive(over: theirs, sharingMemory: sharing)
    let move = try await source.depart(over: ours, sharingMemory: sharing)
    try await arrival
    pair.letGo()
    return move
  }

  /// The source's memory, whether the destination's is shared, and whether the guest stands still.
  @Test(
    .enabled(if: isInstalled, "install qemu-system-x86"),
    arguments: [(true, false), (true, true), (false, false)])
  func aRealGuestGoesOnInAnotherProcess(isShared: Bool, isPaused: Bool) async throws {
    let host = try Host()
    let (source, process) = try await host.start(.cpu0, memory: isShared ? .new : nil)
    #expect(try await source.sharesMemory() == isShared)
    try await source.resume()
    let before = try await untilCounting(source)
    if isPaused { try await source.pause() }
    let (destination, _) = try await host.start(.cpu1, memory: isShared ? .existing : .new, isArriving: true)
    let move = try await self.move(source, destination, sharing: isShared)
    #expect(isShared ? move.bytes < 1 << 20 : move.bytes > 100_000)
    #expect(try await source.status() == .paused)
    #expect(try await destination.status() == .paused)
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    let moved = try await ticks(destination)
    #expect(moved >= before && moved < before + 1000)
    #expect(try await destination.sharesMemory())
    try await destination.resume()
    #expect(try await untilCounting(destination) > moved)
    withExtendedLifetime(host) {}
  }

  @Test(.enabled(if: isInstalled, "install qemu-system-x86"))
  func aGuestMovesToAndFroAndKeepsItsMemory() async throws {
    let host = try Host()
    var (here, process) = try await host.start(.cpu0, memory: .new)
    try await here.resume()
    var last = try await untilCounting(here)
    for index in 0..<4 {
      let (there, next) = try await host.start(index % 2 == 0 ? .cpu1 : .cpu0, memory: .existing, isArriving: true)
      _ = try await move(here, there, sharing: true)
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      try await there.resume()
      let ticks = try await untilCounting(there)
      #expect(ticks > last && ticks < last + 1000)
      (here, process, last) = (there, next, ticks)
    }
    withExtendedLifetime(host) {}
  }

  @Test func sharedMemoryIsOneFileOfBothModulesUnderTheNameThatUnsharedMemoryHas() throws {
    let host = try Host()
    func words(_ module: ModuleID, _ memory: GuestPlan.SharedMemory?) -> [String] {
      QEMUArguments(
        plan: host.plan(module, memory: memory), files: host.files(module), program: QEMUSmokeTests.program,
        accelerator: .tcg
      ).words
    }
    #expect(!words(.cpu0, nil).contains { $0.contains("memory-backend") })
    let backend = "memory-backend-file,id=pc.ram,size=65544k,mem-path=\(host.files(.cpu0).memory),share=on"
    for words in [words(.cpu0, .new), words(.cpu1, .existing)] {
      #expect(words.contains(backend))
      #expect(words.contains { $0.hasPrefix("pc,") && $0.hasSuffix("memory-backend=pc.ram") })
    }
  }

  @Test(.enabled(if: isInstalled, "install qemu-system-x86"))
  func aMoveWhoseDestinationDiesLeavesTheGuestRunningAndIsTriedAgain() async throws {
    let host = try Host()
    let (source, _) = try await host.start(.cpu0, memory: .new)
    try await source.resume()
    _ = try await untilCounting(source)
    let (lost, process) = try await host.start(.cpu1, memory: .existing, isArriving: true)
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    await #expect(throws: EngineError.self) { try await lost.arrive(over: 0, sharingMemory: true) }
    guard var pair = SocketPair(patience: .seconds(20)) else { throw Full() }
    let ours = pair.ours
    pair.letGo()
    await #expect(throws: EngineError.self) { _ = try await source.depart(over: ours, sharingMemory: true) }
    try await source.cancelMove()
    #expect(try await source.status() == .running)
    let before = try await untilCounting(source)

    // What is saved after it holds the memory, although it is shared.
    try await source.pause()
    let file = "\(host.bench.directory)/state"
    let writer = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    try await source.save(to: writer)
    close(writer)
    try await source.cancelSave()
    try await source.resume()
    let (second, _) = try await host.start(.cpu1, memory: .existing, isArriving: true)
    _ = try await move(source, second, sharing: true)
    #expect(try await ticks(second) >= before)
    let (third, _) = try await host.start(.cpu0, memory: nil, isArriving: true)
    let reader = open(file, O_RDONLY | O_CLOEXEC)
    try await third.load(from: reader)
    close(reader)
    let saved = try await ticks(third)
    #expect(saved >= before && saved < before + 1000)
    withExtendedLifetime(host) {}
  }

  @Test func memoryThatIsNotTheGuestsIsRefusedAndThatOfAnEarlierRunIsRemoved() async throws {
    let host = try Host()
    let file = host.files(.cpu1).memory
    await #expect(throws: EngineError.self) { try await host.engine.prepare(host.plan(.cpu1, memory: .existing)) }
    try Data([1, 2, 3]).write(to: URL(fileURLWithPath: file))
    await #expect(throws: EngineError.self) { try await host.engine.prepare(host.plan(.cpu1, memory: .existing)) }
    #expect(FileManager.default.fileExists(atPath: file))
    try await host.engine.prepare(host.plan(.cpu1, memory: nil))
    #expect(!FileManager.default.fileExists(atPath: file))
    #expect(host.files(.cpu1).prepareMemory(.new, bytes: .max)?.contains("MiB free") == true)
    #expect(host.files(.cpu0).memory == file)
  }
}
