import ControlState
import HardwareAPI
import Primitives
import RPC
import ServiceAPI
import UnitManager
import VMAPI

/// What a monitor does that becomes active: nobody knows yet what the one before it left half done.
extension VMMonitor {
  /// Reads the records. When this returns the monitor can answer; guests are looked after by `run`.
  public func load() async throws(RPCError) {
    for record in try await store.all() {
      machines[record.name] = Machine(record)
      machines[record.name]?.isTakenOver = false
    }
    for (name, version) in try await store.currentVersions() { machines[name]?.version = version }
    isAcceleratorUnusable = try await store.setting(Self.unusableAccelerator) == environment.bootIdentity
    if try await store.setting("boot") != environment.bootIdentity { try await hostStarted() }
  }

  /// Everything that is not off ended with the host: what should run is to be brought back, in one transaction.
  private func hostStarted() async throws(RPCError) {
    let time = await lifeSign.read() ?? now()
    var changes: [(MachineRecord, LedgerChange?)] = []
    for machine in machines.values {
      var record = machine.record
      let cause = "the host was started anew"
      let down = LedgerChange.down(atMilliseconds: time, planned: false, cause: cause)
      switch record.phase {
      case .running, .saving:
        record.becomeRecovering(cause, from: record.module ?? environment.module, at: time)
        changes.append((record, down))
      case .recovering, .starting: continue
      case .stopping:
        record.phase = record.saved == nil ? .off : .saved
        record.module = nil
        record.stopMilliseconds = nil
        record.isHeld = false
        changes.append((record, .down(atMilliseconds: time, planned: true, cause: "it was shut down")))
      case .quarantined: continue
      case .off, .crashed, .saved:
        guard record.autostart, record.undo != .ask else { continue }
        record.phase = .starting
        record.module = nil
        record.reason = nil
        changes.append((record, nil))
      }
      machines[record.name]?.record = record
    }
    try await store.save(changes, settings: ["boot": environment.bootIdentity])
  }

  /// Watches over the guests until cancelled.
  public func run() async throws {
    await takeOver()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await self.followModules() }
      group.addTask { await self.followLegs() }
      group.addTask { try await self.giveLifeSigns() }
      group.addTask { try await self.watchDefinitionFiles() }
      group.addTask { try await self.takeSamples() }
      try await group.next()
      group.cancelAll()
    }
  }

  /// Takes over what runs, each guest by itself.
  func takeOver() async {
    let lastSeen = await lifeSign.read()
    for name in mostUrgentFirst() {
      Task { _ = try? await self.exclusive(name) { await $0.takeOverFirst(name, lastSeen: lastSeen) } }
    }
  }

  /// An operation on a guest that finds it as this monitor knows it: looked at before, also where it comes as the first thing
  /// after a failover.
  func operate<T: Sendable>(
    on name: VMName, _ body: @escaping @Sendable (isolated VMMonitor) async throws(RPCError) -> T
  ) async throws(RPCError) -> T {
    try await exclusive(name) { monitor async throws(RPCError) in
      if monitor.machines[name]?.isTakenOver == false {
        await monitor.takeOverFirst(name, lastSeen: await monitor.lifeSign.read())
      }
      return try await body(monitor)
    }
  }

  private func takeOverFirst(_ name: VMName, lastSeen: Int64?) async {
    guard machines[name]?.isTakenOver == false else { return }
    machines[name]?.isTakenOver = true
    await takeOver(name, lastSeen: lastSeen)
    // Who is to be asked was asked.
    if machines[name]?.record.undo != .ask { settleUndoLater(name) }
  }

  private func takeOver(_ name: VMName, lastSeen: Int64?) async {
    guard let record = machines[name]?.record else { return }
    do {
      var alive: [ModuleID] = []
      for module in ModuleID.all(of: .cpu)
      where try await !environment.units.isEmpty(Machine.unit(module, slot: record.slot)) {
        alive.append(module)
      }
      switch (record.phase, alive.count) {
      case (.off, 0), (.crashed, 0), (.quarantined, 0): return
      case (.saved, let count):
        if count > 0 || record.saved?.volumes == nil { try await settle(name) }
      case (.off, _), (.crashed, _), (.quarantined, _):
        // A process that nobody wants: the end of it was cut off.
        try await proveGone(name)
        await releaseDisks(name)
      case (_, 1): try await takeOver(name, on: alive[0], lastSeen: lastSeen)
      case (.running, 0), (.saving, 0): try await foundDead(name, lastSeen: lastSeen)
      case (.stopping, 0): try await finishStop(name, cause: "it was shut down", at: lastSeen.map { min($0, now()) })
      default: await resumeRecovery(name)
      }
    } catch {
      logger.warning("A guest could not be looked at yet", metadata: ["vm": "\(name)", "error": "\(error)"])
      takeOverLater(name, lastSeen: lastSeen)
    }
  }

  private func takeOverLater(_ name: VMName, lastSeen: Int64?) {
    machines[name]?.attempts += 1
    let pause = backoff(machines[name]?.attempts ?? 1)
    Task {
      try? await Task.sleep(for: pause)
      _ = try? await self.exclusive(name) { await $0.takeOver(name, lastSeen: lastSeen) }
    }
  }

  /// A process runs: adopts it, and finishes what was begun with it.
  private func takeOver(_ name: VMName, on module: ModuleID, lastSeen: Int64?) async throws {
    guard let record = machines[name]?.record else { return }
    // Saved memory may be half loaded.
    if record.phase == .starting, record.saved != nil { return await resumeRecovery(name) }
    let instance: any VMInstance
    let status: EngineStatus
    do {
      guard let found = try await attached(record.slot, module) else {
        // It was on its way out, and is gone: that is another case.
        return await takeOver(name, lastSeen: lastSeen)
      }
      instance = found
      status = try await instance.status()
      if record.phase != .saving { try await setProcessors(of: instance, record, status) }
    } catch {
      return try await notAdoptable(name, record, lastSeen: lastSeen)
    }
    adopt(instance, name, on: module)
    if status == .ended { machines[name]?.hasShutDown = true }
    switch record.phase {
    case .starting:
      try await commit(name, upChange(name)) {
        $0.phase = .running
        $0.module = module
        $0.reason = nil
      }
    case .recovering:
      let from = record.fromModule ?? module
      let time = record.failedMilliseconds ?? now()
      try await finishRecovery(
        name,
        Recovery(
          cause: record.reason ?? "a failure", fromModule: from, toModule: module, failedMilliseconds: time,
          detectMilliseconds: 0, decideMilliseconds: 0, fenceMilliseconds: 0,
          startMilliseconds: Double(max(0, now() - time))))
    case .saving: await undoSave(name, because: nil)
    default:
      if record.module != module { try await commit(name) { $0.module = module } }
    }
    await noteProcess(name)
    thawIfForgotten(name)
    if record.phase == .stopping {
      await pressPowerButton(name)
      endAtDeadline(name)
    }
    lookAfter(name)
  }

  /// Lets a guest run that should, and stops one that should not: what was intended for it may not have been done yet. One
  /// that an I/O error stopped tries again, and says so again where the cause is still there.
  private func setProcessors(
    of instance: any VMInstance, _ record: MachineRecord, _ status: EngineStatus
  ) async throws(EngineError) {
    switch status {
    case .waiting: try await letRun(instance, try? machines[record.name]?.domain.get(), isHeld: record.isHeld)
    case .paused: if !record.isHeld { try? await instance.resume() }
    case .running: if record.isHeld, record.phase != .stopping { try await instance.pause() }
    case .ended: break
    }
  }

  /// A process that does not answer cannot be watched; it is ended and what it was to be is done anew.
  private func notAdoptable(_ name: VMName, _ record: MachineRecord, lastSeen: Int64?) async throws {
    if record.phase == .stopping { return try await finishStop(name, cause: "it was ended while it shut down") }
    guard record.phase == .running || record.phase == .saving else { return await resumeRecovery(name) }
    machines[name]?.endedBy = "not answering"
    // It may have been found in the middle of its module's end.
    var isModuleLost = false
    if let module = record.module { isModuleLost = await isLost(module) }
    let cause =
      record.module.map(lossOf).flatMap { isModuleLost ? $0 : nil }
      ?? "its process did not answer the monitor that took over"
    try await ended(name, Ending(cause: cause, noticed: .now, time: now(), isModuleLost: isModuleLost))
  }

  /// A guest that should run has no process: it failed, or shut itself down, while nobody watched.
  private func foundDead(_ name: VMName, lastSeen: Int64?) async throws {
    guard let module = machines[name]?.record.module else { return }
    if modules.isEmpty { await askForModules(patience: timing.placePatience) }
    let isLost = await isLost(module)
    let time = min(lastSeen ?? now(), now())
    try await ended(
      name,
      Ending(
        cause: isLost ? lossOf(module) : "its process ended while no monitor watched", noticed: .now, time: time,
        isModuleLost: isLost))
  }

  /// Learns the modules' states where that takes no longer than `patience`.
  func askForModules(patience: Duration) async {
    let hardware = environment.hardware
    let answer = await within(patience) { try? await hardware.call(GetModules.self) }
    for status in (answer ?? nil)?.modules ?? [] { modules[status.module] = status }
  }

  // MARK: Loops

  private func followModules() async throws {
    while !Task.isCancelled {
      do {
        for try await status in try await environment.hardware.subscribe(FollowModules.self) { changed(status) }
      } catch {
        logger.debug("The hardware supervisor cannot be followed", metadata: ["error": "\(error)"])
      }
      try await Task.sleep(for: timing.firstBackoff)
    }
  }

  /// Writes the definitions to a leg that came back.
  private func followLegs() async {
    // At a takeover the files are most likely as they should be, and guests are not.
    try? await Task.sleep(for: timing.reconcilePause)
    var known: Set<LegID> = []
    for await legs in environment.state.legChanges() {
      let inStep = Set(legs.filter { $0.state == .inStep }.map(\.leg))
      for leg in inStep.subtracting(known) {
        await files.reconcile(definitions, on: leg)
        await restoreStates(on: leg)
      }
      await noticeEdits()
      known = inStep
    }
    // The state was closed: the service ends.
  }

  /// What the files are to be. They follow the records: what is being written now is not among them yet.
  private var definitions: [VMName: String] { machines.mapValues(\.record.definition) }

  private func giveLifeSigns() async throws {
    try await Task.sleep(for: timing.lifeSign)
    while !Task.isCancelled {
      await lifeSign.write(now())
      try await Task.sleep(for: timing.lifeSign)
    }
  }
}
