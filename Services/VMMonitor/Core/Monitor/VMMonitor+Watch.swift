import HardwareAPI
import Primitives
import RPC
import UnitManager
import VMAPI

/// What happens to guests, and what follows.
extension VMMonitor {
  // MARK: Signs

  /// An event of a guest.
  func happened(_ event: EngineEvent, to name: VMName, _ instance: any VMInstance) {
    guard let machine = machines[name], machine.instance === instance else { return }
    switch event {
    case .resumed: note(name) { $0.paused = nil }
    case .paused(let reason):
      guard machine.paused == nil, !machine.isStoppedByUs else { return }
      alert(
        .error, "vmPaused", name,
        "'\(name)' stands still: \(reason). It goes on by itself when the cause is repaired; see 'ftctl volume list'.")
      note(name) { $0.paused = reason }
      resumeLater(name, instance)
    case .shutDown: machines[name]?.hasShutDown = true
    case .ended(let word): machines[name]?.endedBy = word
    case .reset, .panicked, .watchdog, .askedToShutDown: report(event, of: name)
    }
  }

  /// Lets a guest go on that an I/O error stopped: its requests are tried again, none was lost.
  private func resumeLater(_ name: VMName, _ instance: any VMInstance) {
    Task { [weak self, interval = timing.resumeInterval] in
      try? await Task.sleep(for: interval)
      guard let self, await self.isPaused(name, instance) else { return }
      try? await instance.resume()
      await self.resumeAgain(name, instance)
    }
  }

  private func isPaused(_ name: VMName, _ instance: any VMInstance) -> Bool {
    guard let machine = machines[name] else { return false }
    return machine.instance === instance && machine.paused != nil && !machine.isStoppedByUs
  }

  private func resumeAgain(_ name: VMName, _ instance: any VMInstance) {
    if isPaused(name, instance) { resumeLater(name, instance) }
  }

  /// A guest's connection ended: it is looked at now, and again when its process had time to end.
  func connectionEnded(_ name: VMName, _ instance: any VMInstance) {
    guard machines[name]?.instance === instance else { return }
    machines[name]?.watcher = nil
    lookAfter(name)
    Task { [weak self, wait = timing.lookAgain] in
      try? await Task.sleep(for: wait)
      await self?.lookAfter(name)
    }
  }

  /// A module changed.
  func changed(_ status: ModuleStatus) {
    modules[status.module] = status
    guard status.module.kind == .cpu, status.state.isLost else { return }
    excuse(status.module)
    for name in mostUrgentFirst() where machines[name]?.record.module == status.module { lookAfter(name) }
  }

  /// Looks at a guest in the background.
  func lookAfter(_ name: VMName) {
    let noticed = ContinuousClock.now
    let time = now()
    Task {
      _ = try? await self.exclusive(name) { monitor async throws(RPCError) in
        try await monitor.look(at: name, noticed: noticed, time: time)
      }
    }
  }

  // MARK: Conclusions

  /// Finds out whether a guest that should run does, and acts when not. Inside `exclusive`.
  private func look(at name: VMName, noticed: ContinuousClock.Instant, time: Int64) async throws(RPCError) {
    guard let machine = machines[name], let module = machine.record.module, let unit = machine.unit,
      machine.record.phase == .running || machine.record.phase == .stopping, !machine.isUnwanted
    else { return }
    let isLost = await isLost(module)
    var status: UnitStatus
    var isGone: Bool
    do {
      status = try await environment.units.status(unit)
      isGone = try await environment.units.isEmpty(unit)
    } catch {
      // The unit manager is away; nothing is known, so nothing is done but to look again.
      return retryLater(name)
    }
    if !isGone, !isLost {
      guard machine.watcher == nil, try await !reattach(name, module) else { return }
      isGone = true
      status = (try? await environment.units.status(unit)) ?? status
    }
    // The last events may still be on their way to this actor.
    if let watcher = machine.watcher, isGone { _ = await within(.seconds(1)) { await watcher.value } }
    let ending = Ending(
      cause: isLost ? lossOf(module) : "its process ended unexpectedly (\(machines[name]?.endedBy ?? status.result))",
      noticed: noticed, time: time, isModuleLost: isLost)
    try await ended(name, ending)
  }

  /// How a guest ended.
  struct Ending: Sendable {
    var cause: String
    var noticed: ContinuousClock.Instant
    /// When it was noticed, in milliseconds since 1970.
    var time: Int64
    var isModuleLost: Bool
  }

  /// Decides what follows from a guest's end.
  func ended(_ name: VMName, _ ending: Ending) async throws(RPCError) {
    guard let machine = machines[name], let module = machine.record.module else { return }
    if machine.record.phase == .stopping {
      let cause = machine.hasShutDown ? "it was shut down" : "it was ended while it shut down"
      return try await finishOrRetry(name, cause, at: ending.time)
    }
    var inOrder = machine.hasShutDown
    if !inOrder, machine.endedBy == nil, !ending.isModuleLost {
      inOrder = await environment.engine.endedInOrder(slot: machine.record.slot, module: module)
    }
    if inOrder { return try await finishOrRetry(name, "it shut itself down", at: ending.time) }
    await failed(name, ending)
  }

  private func finishOrRetry(_ name: VMName, _ cause: String, at time: Int64) async throws(RPCError) {
    do { try await finishStop(name, cause: cause, at: time) } catch {
      retryLater(name)
      throw error
    }
  }

  /// Whether a module is out of service: the hardware supervisor said so, or its mark, which it sets before it ends what
  /// runs there, says so already.
  func isLost(_ module: ModuleID) async -> Bool {
    if modules[module]?.state.isLost == true { return true }
    guard await marks.exist(module) else { return false }
    await askForModules(patience: timing.markPatience)
    return true
  }

  /// Why a module's guests were lost, for people.
  func lossOf(_ module: ModuleID) -> String {
    let reason = modules[module]?.reason.map { ": \($0)" } ?? ""
    guard let state = modules[module]?.state, state.isLost else { return "CPU module \(module) was lost" }
    return "CPU module \(module) was lost (\(state.rawValue)\(reason))"
  }

  /// The process lives and its connection is gone: connects again, and treats it as failed where that does not work.
  ///
  /// - Returns: false when the process was on its way out, and has ended meanwhile: nothing was done then.
  private func reattach(_ name: VMName, _ module: ModuleID) async throws(RPCError) -> Bool {
    guard let slot = machines[name]?.record.slot else { return true }
    do {
      guard let instance = try await attached(slot, module) else { return false }
      adopt(instance, name, on: module)
    } catch {
      let ending = Ending(cause: "its process no longer answers", noticed: .now, time: now(), isModuleLost: false)
      machines[name]?.endedBy = "not answering"
      try await ended(name, ending)
    }
    return true
  }

  /// Connects to a process that was there. Nil when it has ended meanwhile: its sockets go before it does.
  func attached(_ slot: Int, _ module: ModuleID) async throws(EngineError) -> (any VMInstance)? {
    let deadline = ContinuousClock.now + timing.answerTime
    // Short at first: that of a module that was just lost is about to be gone.
    var patience = timing.firstLook
    while true {
      do {
        return try await environment.engine.attach(
          slot: slot, module: module, patience: patience, answerTime: timing.answerTime)
      } catch {
        if (try? await environment.units.isEmpty(Machine.unit(module, slot: slot))) == true { return nil }
        if ContinuousClock.now >= deadline { throw error }
        try? await Task.sleep(for: patience)
        patience = min(patience * 2, timing.lookAgain)
      }
    }
  }

  /// Looks at a machine again after a while, whatever its record says then.
  func retryLater(_ name: VMName) {
    machines[name]?.attempts += 1
    let backoff = backoff(machines[name]?.attempts ?? 1)
    Task { [weak self] in
      try? await Task.sleep(for: backoff)
      await self?.resume(name)
    }
  }

  /// The pause before an attempt.
  func backoff(_ attempt: Int) -> Duration {
    min(timing.firstBackoff * (1 << max(0, min(attempt - 1, 16))), timing.longestBackoff)
  }
}

extension ModuleState {
  /// Whether nothing runs on a module in this state, or is to be ended there.
  var isLost: Bool {
    switch self {
    case .broken, .shot, .removed, .offline, .empty, .dumping: true
    default: false
    }
  }

  /// Whether somebody asked for this state.
  var isPlanned: Bool { self == .offline || self == .removed }
}
