import Glibc
import Primitives
import RPC
import UnitManager
import VMMonitorCore

/// An engine without processes: what `FakeHost` says of them is so.
struct FakeEngine: VMEngine {
  let host: FakeHost
  let life: Life

  private func unit(_ slot: Int, _ module: ModuleID) -> String { "ftvs-guest-\(module.rawValue)@\(slot).service" }

  func prepare(_ plan: GuestPlan) async throws(EngineError) {
    await life.enter("prepare")
    host.state.withLock { $0.plans[unit(plan.slot, plan.module)] = plan }
  }

  func attach(
    slot: Int, module: ModuleID, patience: Duration, answerTime: Duration
  ) async throws(EngineError) -> any VMInstance {
    let unit = unit(slot, module)
    await life.enter("attach \(unit)")
    let instance = FakeInstance(host: host, life: life, unit: unit)
    let isAnswering = host.state.withLock { state in
      let isAccelerated = state.plans[unit].map { !$0.domain.isEmulated } ?? false
      if state.isAcceleratorBroken, isAccelerated {
        state.processes[unit] = nil
        state.results[unit] = "core-dump"
      }
      guard state.processes[unit]?.isAnswering == true else { return false }
      state.instances[unit, default: []].append(.init(instance: instance))
      return true
    }
    guard isAnswering else {
      if host.state.withLock({ $0.processes[unit]?.isLeaving }) == true { try? await Task.sleep(for: patience) }
      throw .notAnswering("test")
    }
    return instance
  }

  var mayEmulate: Bool { true }

  func endedInOrder(slot: Int, module: ModuleID) async -> Bool {
    await life.enter("endedInOrder")
    return host.state.withLock { $0.endedInOrder.contains(unit(slot, module)) }
  }
}

final class FakeInstance: VMInstance {
  let engine = "scripted"
  let events: AsyncStream<EngineEvent>
  let source: AsyncStream<EngineEvent>.Continuation
  private let host: FakeHost
  private let life: Life
  private let unit: String

  init(host: FakeHost, life: Life, unit: String) {
    self.host = host
    self.life = life
    self.unit = unit
    (events, source) = AsyncStream.makeStream()
  }

  func status() async throws(EngineError) -> EngineStatus {
    await life.enter("query \(unit)")
    guard let status = host.state.withLock({ $0.processes[unit]?.status }) else { throw .notAnswering("gone") }
    return status
  }

  func resume() async throws(EngineError) {
    await life.enter("resume \(unit)")
    let isAlive = host.state.withLock { state in
      guard let process = state.processes[unit] else { return false }
      for (volume, generation) in process.generations where state.generations[volume, default: 1] != generation {
        state.violations.append("runs on a fenced disk: \(unit)")
      }
      if process.isRestored { state.violations.append("runs without its memory: \(unit)") }
      state.processes[unit]?.status = .running
      return true
    }
    guard isAlive else { throw .notAnswering("gone") }
    source.yield(.resumed)
  }

  func setMemory(bytes: Int64) async throws(EngineError) { await life.enter("setMemory \(unit) \(bytes)") }
  func pause() async throws(EngineError) {
    await life.enter("pause \(unit)")
    try change { $0.status = .paused }
    source.yield(.paused(reason: "stopped by the engine"))
  }

  func reset(whereRebootEnds: Bool) async throws(EngineError) {
    await life.enter("reset \(unit)")
    try change { $0.resets += 1 }
    source.yield(.reset(byGuest: false))
  }

  func interrupt() async throws(EngineError) {
    await life.enter("interrupt \(unit)")
    try change { $0.interrupts += 1 }
  }

  func press(_ keys: [String], holding milliseconds: Int) async throws(EngineError) {
    await life.enter("press \(unit)")
    try change { $0.keys.append(keys) }
  }

  func screenshot() async throws(EngineError) -> [UInt8] {
    await life.enter("screenshot \(unit)")
    try change { _ in }
    return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 13] + Array("IHDR".utf8) + [
      0, 0, 2, 128, 0, 0, 1, 224,
    ]
  }

  /// An agent with three file systems.
  func askAgent(
    _ command: String, _ arguments: JSONValue?, within time: Duration
  ) async throws(EngineError) -> JSONValue {
    await life.enter("agent \(command) \(unit)")
    guard host.state.withLock({ $0.hasAgent && $0.processes[unit]?.status == .running }) else {
      throw .notAnswering("its guest agent is silent")
    }
    switch command {
    case "guest-info": return ["version": "7.2.22"]
    case "guest-get-osinfo": return ["pretty-name": "Debian", "kernel-release": "6.1.0"]
    case "guest-get-host-name": return ["host-name": "web"]
    case "guest-network-get-interfaces":
      return [["name": "eth0", "ip-addresses": [["ip-address": "10.0.2.15", "prefix": 24]]]]
    case "guest-fsfreeze-status":
      return host.state.withLock { $0.processes[unit]?.isFrozen } == true ? "frozen" : "thawed"
    case "guest-fsfreeze-freeze":
      try change { $0.isFrozen = true }
      return 3
    case "guest-fsfreeze-thaw":
      let wasFrozen = host.state.withLock { $0.processes[unit]?.isFrozen } == true
      try change { $0.isFrozen = false }
      return wasFrozen ? 3 : 0
    case "guest-shutdown":
      host.end(unit, result: "success", inOrder: true)
      throw .notAnswering("its guest agent is silent")
    default: throw .refused("its guest agent does not know \(command)")
    }
  }

  func statistics() async throws(EngineError) -> EngineStatistics {
    await life.enter("statistics \(unit)")
    var statistics = EngineStatistics()
    var disk = EngineStatistics.Disk()
    disk.readBytes = 4096
    disk.readOperations = 1
    statistics.disks["vda"] = disk
    return statistics
  }

  /// What follows a guest's memory: more than a socket holds, so that somebody has to read it.
  static let filler = 512 << 10

  func save(to descriptor: Int32) async throws(EngineError) {
    await life.enter("save \(unit)")
    let (memory, failure) = host.state.withLock { ($0.processes[unit]?.memory, $0.saveFailure) }
    guard let memory else { throw .notAnswering("gone") }
    let bytes = Array(memory.utf8) + [UInt8](repeating: 7, count: Self.filler)
    guard Self.send(bytes[..<(failure ?? bytes.count)], to: descriptor) else { throw .refused("nobody reads") }
    await life.enter("saved \(unit)")
    if failure != nil { throw .refused("test") }
  }

  func cancelSave() async throws(EngineError) { await life.enter("cancelSave \(unit)") }

  func load(from descriptor: Int32) async throws(EngineError) {
    await life.enter("load \(unit)")
    let bytes = Self.receive(from: descriptor)
    guard bytes.count > Self.filler, bytes.suffix(Self.filler) == [UInt8](repeating: 7, count: Self.filler)[...] else {
      throw .refused("damaged")
    }
    let memory = String(decoding: bytes.dropLast(Self.filler), as: UTF8.self)
    host.state.withLock { $0.loaded.append(memory) }
    try change {
      $0.memory = memory
      $0.isRestored = false
      $0.status = .paused
    }
  }

  private static func send(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) -> Bool {
    var rest = bytes
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }

  private static func receive(from descriptor: Int32) -> [UInt8] {
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = recv(descriptor, &part, part.count, 0)
      guard count > 0 else { return bytes }
      bytes += part[..<count]
    }
  }

  /// Changes a process that answers.
  private func change(_ edit: (inout FakeHost.Process) -> Void) throws(EngineError) {
    let isAnswering = host.state.withLock { state in
      guard state.processes[unit]?.isAnswering == true else { return false }
      if var process = state.processes[unit] {
        edit(&process)
        state.processes[unit] = process
      }
      return true
    }
    guard isAnswering else { throw .notAnswering("gone") }
  }

  func powerDown() async throws(EngineError) {
    await life.enter("powerDown \(unit)")
    guard host.state.withLock({ $0.processes[unit]?.isAnswering }) == true else { throw .notAnswering("gone") }
    if host.state.withLock({ $0.processes[unit]?.isFrozen == true || $0.ignoresPowerButton }) { return }
    host.end(unit, result: "success", inOrder: true)
  }

  func close() { source.finish() }
}
