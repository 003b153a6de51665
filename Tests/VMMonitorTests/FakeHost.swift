import Foundation
import HardwareAPI
import Primitives
import RPC
import StorageAPI
import Synchronization
import UnitManager
import VMMonitorCore

/// The world outside the monitor: processes, disks, modules. It outlives a monitor that dies, and watches that no
/// virtual machine ever runs twice.
final class FakeHost: Sendable {
  /// A guest's process.
  struct Process: Sendable {
    var unit: String
    var status = EngineStatus.waiting
    var isAnswering = true
    /// Nobody listens any more, though it has not ended yet.
    var isLeaving = false
    var resets = 0
    var interrupts = 0
    var keys: [[String]] = []
    /// What its guest has in memory.
    var memory = "fresh"
    /// It waits for memory that was saved.
    var isRestored = false
    var generations: [String: Int64] = [:]
    var isFrozen = false
  }

  struct State {
    var processes: [String: Process] = [:]
    var plans: [String: GuestPlan] = [:]
    var results: [String: String] = [:]
    var endedInOrder: Set<String> = []
    var generations: [String: Int64] = [:]
    /// Volumes that were filled.
    var provided: Set<String> = []
    var openings: [String: Int64] = [:]
    /// Volumes with an undo layer.
    var undoLayers: Set<String> = []
    /// What became of undo layers, in order: `commit a`.
    var undone: [String] = []
    /// Agents answer.
    var hasAgent = true
    /// Guests do not heed their power button.
    var ignoresPowerButton = false
    /// Saving fails when this much was written.
    var saveFailure: Int?
    /// Storage takes its time with every call, until this is false.
    var isStorageHanging = false
    /// Processes that were started and had not run yet, at most.
    var mostStarting = 0
    /// Each restored memory, in order.
    var loaded: [String] = []
    var lost: Set<ModuleID> = []
    var isUnitManagerAway = false
    var isStorageAway = false
    var isHardwareAway = false
    var startFailures = 0
    var isAcceleratorBroken = false
    /// What must never be, seen.
    var violations: [String] = []
    var instances: [String: [WeakInstance]] = [:]
    var moduleFollowers: [AsyncThrowingStream<ModuleStatus, any Error>.Continuation] = []
  }

  struct WeakInstance { weak var instance: FakeInstance? }

  let state = Mutex(State())
  private let shotMarks: String

  init(shotMarks: String) { self.shotMarks = shotMarks }

  static func module(of unit: String) -> ModuleID? { ModuleID.allCases.first { unit.contains("-\($0.rawValue)@") } }

  /// Starts a unit's process.
  func spawn(_ unit: String) throws(UnitError) {
    let failure = state.withLock { state -> UnitError? in
      guard let module = Self.module(of: unit) else { return .noSuchUnit(unit: unit) }
      if state.lost.contains(module) { return .conditionFailed(unit: unit) }
      if state.startFailures > 0 {
        state.startFailures -= 1
        return .startFailed(unit: unit, result: "exit-code")
      }
      guard state.processes[unit] == nil else { return nil }
      let slot = unit.split(separator: "@").last ?? ""
      if state.processes.keys.contains(where: { $0.hasSuffix("@\(slot)") }) {
        state.violations.append("twice: \(unit)")
      }
      var process = Process(unit: unit)
      for disk in state.plans[unit]?.disks ?? [] {
        guard let volume = disk.disk.volume?.rawValue else { continue }
        process.generations[volume] = state.generations[volume, default: 1]
        state.openings[volume, default: 0] += 1
        if disk.exportName != "\(volume).\(state.generations[volume, default: 1])" {
          state.violations.append("stale export: \(disk.exportName)")
        }
      }
      process.isRestored = state.plans[unit]?.isRestored == true
      state.processes[unit] = process
      state.mostStarting = max(state.mostStarting, state.processes.values.count { $0.status == .waiting })
      state.results[unit] = "success"
      state.endedInOrder.remove(unit)
      return nil
    }
    if let failure { throw failure }
  }

  /// Ends a unit's process.
  func end(_ unit: String, result: String, inOrder: Bool = false) {
    let instances = state.withLock { state -> [WeakInstance] in
      guard state.processes.removeValue(forKey: unit) != nil else { return [] }
      state.results[unit] = result
      if inOrder { state.endedInOrder.insert(unit) }
      return state.instances.removeValue(forKey: unit) ?? []
    }
    for weak in instances {
      if inOrder { weak.instance?.source.yield(.shutDown) }
      weak.instance?.source.finish()
    }
  }

  /// A unit's process shuts down: its connection ends, and the process itself later, by `end`.
  func leave(_ unit: String) {
    let instances = state.withLock { state in
      state.processes[unit]?.isAnswering = false
      state.processes[unit]?.isLeaving = true
      return state.instances.removeValue(forKey: unit) ?? []
    }
    for weak in instances {
      weak.instance?.source.yield(.shutDown)
      weak.instance?.source.finish()
    }
  }

  /// Takes a module from service with all that runs on it.
  func lose(_ module: ModuleID) {
    let units = state.withLock { state in
      state.lost.insert(module)
      return state.processes.keys.filter { Self.module(of: $0) == module }
    }
    _ = FileManager.default.createFile(atPath: "\(shotMarks)/\(module.rawValue)", contents: nil)
    for unit in units { end(unit, result: "signal") }
    tell(module)
  }

  func repair(_ module: ModuleID) {
    state.withLock { state in _ = state.lost.remove(module) }
    try? FileManager.default.removeItem(atPath: "\(shotMarks)/\(module.rawValue)")
    tell(module)
  }

  private func tell(_ module: ModuleID) {
    let status = status(of: module)
    for follower in state.withLock({ $0.moduleFollowers }) { follower.yield(status) }
  }

  func status(of module: ModuleID) -> ModuleStatus {
    let isLost = state.withLock { $0.lost.contains(module) }
    return ModuleStatus(
      module: module, kind: module.kind, state: isLost ? .broken : .online, reason: isLost ? "test" : nil,
      sinceMilliseconds: WallClock.milliseconds, failures: 0)
  }

  var running: [String] {
    state.withLock { state in state.processes.filter { $0.value.status == .running }.keys.sorted() }
  }
  var violations: [String] { state.withLock { $0.violations } }
}

struct FakeUnits: UnitManager {
  let host: FakeHost
  let life: Life

  private func enter(_ call: String) async throws(UnitError) {
    await life.enter(call)
    if host.state.withLock({ $0.isUnitManagerAway }) { throw .unavailable(reason: "test") }
  }

  func start(_ unit: String) async throws(UnitError) -> UnitStatus {
    try await enter("start \(unit)")
    try host.spawn(unit)
    // The monitor may die after the process was made.
    await life.enter("started \(unit)")
    return try await status(unit)
  }

  func stop(_ unit: String) async throws(UnitError) {
    try await enter("stop \(unit)")
    host.end(unit, result: "success")
  }

  func kill(_ unit: String, signal: Int32) async throws(UnitError) {
    try await enter("kill \(unit)")
    host.end(unit, result: "signal")
  }

  func status(_ unit: String) async throws(UnitError) -> UnitStatus {
    try await enter("status \(unit)")
    return host.state.withLock { state in
      let isAlive = state.processes[unit] != nil
      let result = state.results[unit] ?? "success"
      return UnitStatus(
        unit: unit, activeState: isAlive ? .active : result == "success" ? .inactive : .failed,
        mainProcessID: isAlive ? 4711 : nil, result: result)
    }
  }

  func isEmpty(_ unit: String) async throws(UnitError) -> Bool {
    try await enter("isEmpty \(unit)")
    return host.state.withLock { $0.processes[unit] == nil }
  }
}
