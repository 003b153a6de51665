import Glibc
import HardwareSupervisorCore
import Primitives
import RPC
import Synchronization
import UnitManager

/// The host's units as systemd would run them: they are restarted when they die, unless their module is shot.
final class FakeUnits: Sendable {
  struct Unit: Equatable {
    var process: Int32?
    var isWanted = false
    var restartAt: Int64 = 0
    var result = "success"
  }
  struct State {
    var units: [String: Unit] = [:]
    var nextProcess: Int32 = 100
    /// Units that end at once when they are started.
    var failing: Set<String> = []
    /// Slices whose processes do not end.
    var stuck: Set<String> = []
    /// Slices killed by the supervisor, in order.
    var kills: [String] = []
  }
  let state = Mutex(State())
  let clock: ManualClock
  let markPath: @Sendable (ModuleID) -> String

  init(clock: ManualClock, markPath: @escaping @Sendable (ModuleID) -> String) {
    self.clock = clock
    self.markPath = markPath
  }

  static func names(on module: ModuleID) -> [String] {
    ["ftvs-module", "ftvs-alerts", "ftvs-storage", "ftvs-vm", "ftvs-hardware"].map { "\($0)@\(module).service" }
  }

  func isMarked(_ module: ModuleID) -> Bool { access(markPath(module), F_OK) == 0 }
  func process(_ unit: String) -> Int32? { state.withLock { $0.units[unit]?.process } }
  func agentProcess(_ module: ModuleID) -> Int32? { process("ftvs-module@\(module).service") }
  func fail(_ unit: String, _ fails: Bool = true) {
    state.withLock { if fails { _ = $0.failing.insert(unit) } else { $0.failing.remove(unit) } }
  }
  func stick(_ slice: String, _ sticks: Bool = true) {
    state.withLock { if sticks { _ = $0.stuck.insert(slice) } else { $0.stuck.remove(slice) } }
  }

  func boot() {
    for module in ModuleID.all(of: .cpu) {
      for name in Self.names(on: module) { state.withLock { $0.units[name, default: Unit()].isWanted = true } }
    }
    restart()
  }

  /// What systemd does as time passes.
  func restart() {
    let marked = Set(ModuleID.all(of: .cpu).filter(isMarked).map(\.rawValue))
    state.withLock { state in
      for (name, unit) in state.units where unit.isWanted && unit.process == nil && unit.restartAt <= clock.now {
        guard !marked.contains(Self.module(name)) else {
          state.units[name]?.isWanted = false
          continue
        }
        guard !state.failing.contains(name) else { continue }
        state.nextProcess += 1
        state.units[name]?.process = state.nextProcess
      }
    }
  }

  /// The loss of processes that nobody asked for.
  func die(_ names: [String]) {
    state.withLock { state in
      for name in names where state.units[name]?.process != nil {
        state.units[name]?.process = nil
        state.units[name]?.result = "signal"
        state.units[name]?.restartAt = clock.now + 400_000_000
      }
    }
  }

  fileprivate func stop(_ name: String) {
    state.withLock { $0.units[name] = Unit() }
  }

  fileprivate func start(_ name: String) throws(UnitError) {
    guard let module = ModuleID(rawValue: Self.module(name)) else { throw .noSuchUnit(unit: name) }
    guard !isMarked(module) else { throw .conditionFailed(unit: name) }
    let isRunning = state.withLock { state -> Bool in
      state.units[name, default: Unit()].isWanted = true
      guard !state.failing.contains(name) else { return false }
      if state.units[name]?.process == nil {
        state.nextProcess += 1
        state.units[name]?.process = state.nextProcess
      }
      return true
    }
    if !isRunning { throw .startFailed(unit: name, result: "exit-code") }
  }

  fileprivate func kill(_ slice: String) {
    guard let module = ModuleID(rawValue: String(slice.dropFirst(5).dropLast(6))) else { return }
    state.withLock { $0.kills.append(slice) }
    if state.withLock({ $0.stuck.contains(slice) }) { return }
    die(Self.names(on: module))
  }

  fileprivate func isEmpty(_ slice: String) -> Bool {
    let module = String(slice.dropFirst(5).dropLast(6))
    return state.withLock { state in
      !state.units.contains { Self.module($0.key) == module && $0.value.process != nil }
    }
  }

  fileprivate func status(_ name: String) -> UnitStatus {
    state.withLock { state in
      guard let unit = state.units[name] else { return UnitStatus(unit: name, activeState: .inactive) }
      let active: UnitStatus.ActiveState = unit.process != nil ? .active : unit.isWanted ? .activating : .inactive
      return UnitStatus(unit: name, activeState: active, mainProcessID: unit.process, result: unit.result)
    }
  }

  private static func module(_ name: String) -> String {
    String(name.drop { $0 != "@" }.dropFirst().prefix { $0 != "." })
  }
}

/// The unit manager as one instance of the supervisor has it.
struct InstanceUnits: UnitManager {
  let units: FakeUnits
  let life: Life
  /// Called before the supervisor kills a slice.
  let willKill: @Sendable (String) -> Void
  /// Called after processes ended, so that the instance dies with them.
  let didEnd: @Sendable () -> Void

  func start(_ unit: String) async throws(UnitError) -> UnitStatus {
    await life.pass()
    try units.start(unit)
    return units.status(unit)
  }
  func stop(_ unit: String) async throws(UnitError) {
    await life.pass()
    units.stop(unit)
    didEnd()
    await life.pass()
  }
  func kill(_ unit: String, signal: Int32) async throws(UnitError) {
    await life.pass()
    willKill(unit)
    units.kill(unit)
    didEnd()
    await life.pass()
  }
  func status(_ unit: String) async throws(UnitError) -> UnitStatus {
    await life.pass()
    return units.status(unit)
  }
  func isEmpty(_ unitOrSlice: String) async throws(UnitError) -> Bool {
    await life.pass()
    return units.isEmpty(unitOrSlice)
  }
}

/// Marks as one instance has them.
struct InstanceMarks: ShotMarks {
  let marks: FileShotMarks
  let life: Life

  func write(_ module: ModuleID) async throws(RPCError) {
    await life.pass()
    try await marks.write(module)
    await life.pass()
  }
  func remove(_ module: ModuleID) async throws(RPCError) {
    await life.pass()
    try await marks.remove(module)
    await life.pass()
  }
  func exists(_ module: ModuleID) async -> Bool {
    await life.pass()
    return await marks.exists(module)
  }
}
