import DomainXML
import HardwareAPI
import Primitives
import RPC
import UnitManager
import VMAPI

/// From nothing to a guest that runs. Called inside `exclusive`.
extension VMMonitor {
  /// A module in service: the hardware supervisor's choice, or the own one when it is away, for that is certainly alive.
  func place(prefer: ModuleID?, _ name: VMName) async throws(RPCError) -> ModuleID {
    let hardware = environment.hardware
    let answer = await within(timing.placePatience) { () -> Result<ModuleID, RPCError> in
      do throws(RPCError) {
        return .success(try await hardware.call(PlaceOnModule.self, .init(prefer: prefer)).module)
      } catch {
        return .failure(error)
      }
    }
    switch answer {
    case .success(let module): return module
    case .failure(let error) where error.matches(HardwareFailure.noModuleInService):
      throw RPCError(
        VMFailure.noModuleInService,
        "No CPU module is in service for '\(name)'; 'ftctl module list' shows what to do.")
    default:
      logger.warning("The hardware supervisor is away; taking this module", metadata: ["vm": "\(name)"])
      return environment.module
    }
  }

  /// What the definition says, or an error for people when this version cannot read it any more.
  func readable(_ machine: Machine) throws(RPCError) -> Domain {
    switch machine.domain {
    case .success(let domain): return domain
    case .failure(let error): throw RPCError(error, name: machine.name)
    }
  }

  /// Starts the guest on `module`. Its slot is proven empty, its disks are fenced, and its record names the module.
  func launch(_ name: VMName, on module: ModuleID) async throws(RPCError) {
    try await settleUndoToStart(name)
    guard let machine = machines[name] else { return }
    var plan = GuestPlan(
      domain: try readable(machine), uuid: machine.record.uuid, slot: machine.record.slot, module: module,
      disks: try await exportDisks(name), variables: try await exportVariables(name),
      isRestored: machine.record.saved != nil)
    let mayEmulate = environment.engine.mayEmulate && !plan.domain.isEmulated
    if mayEmulate, isAcceleratorUnusable { plan.domain.isEmulated = true }
    do throws(RPCError) {
      try await launch(name, plan)
    } catch {
      guard mayEmulate, !plan.domain.isEmulated, error.data["endedAtOnce"] == true else { throw error }
      // A KVM that is there and does not work ends QEMU before it answers.
      plan.domain.isEmulated = true
      try await launch(name, plan)
      await noteUnusableAccelerator(name)
    }
  }

  private func launch(_ name: VMName, _ plan: GuestPlan) async throws(RPCError) {
    machines[name]?.hasShutDown = false
    machines[name]?.endedBy = nil
    machines[name]?.paused = nil
    let source: SavedStateReader? =
      if let saved = machines[name]?.record.saved { try await source(of: saved, name) } else { nil }
    do { try await environment.engine.prepare(plan) } catch { throw RPCError(error, name) }
    try wanted(name)
    do { _ = try await environment.units.start(Machine.unit(plan.module, slot: plan.slot)) } catch {
      throw RPCError(error, name)
    }
    let instance = try await answering(name, slot: plan.slot, on: plan.module)
    adopt(instance, name, on: plan.module)
    if let source { try await load(source, name) }
    let isHeld = machines[name]?.record.isHeld == true
    do { try await letRun(instance, plan.domain, isHeld: isHeld) } catch { throw RPCError(error, name) }
    guard plan.isRestored, !isHeld else { return }
    setGuestClock(name)
    thawIfForgotten(name)
  }

  /// What the account says of a guest that was made ready: it is up, unless it is held.
  func upChange(_ name: VMName) -> LedgerChange? {
    machines[name]?.record.isHeld == true ? nil : .up(atMilliseconds: now())
  }

  /// Remembers, until the host is started anew, that guests run in software here.
  private func noteUnusableAccelerator(_ name: VMName) async {
    isAcceleratorUnusable = true
    try? await store.save([], settings: [Self.unusableAccelerator: environment.bootIdentity])
    alert(
      .warning, "vmEmulated", name,
      "'\(name)' could not be started with KVM and runs in software, slowly. Check /dev/kvm of this host, or set "
        + "\"accelerator\": \"tcg\" in its configuration.")
  }

  /// Throws when somebody wants the machine ended meanwhile.
  func wanted(_ name: VMName) throws(RPCError) {
    guard machines[name]?.isUnwanted == true else { return }
    throw RPCError(VMFailure.wrongState, "The virtual machine '\(name)' is being ended.")
  }

  /// Connects to a process that was just started; gives up early when it has ended.
  private func answering(_ name: VMName, slot: Int, on module: ModuleID) async throws(RPCError) -> any VMInstance {
    let unit = Machine.unit(module, slot: slot)
    let deadline = ContinuousClock.now + timing.answerTime
    while true {
      do {
        return try await environment.engine.attach(
          slot: slot, module: module, patience: timing.startLook, answerTime: timing.answerTime)
      } catch {
        let status = try? await environment.units.status(unit)
        let isAlive = status.map { $0.activeState == .active || $0.activeState == .activating } ?? true
        guard isAlive else {
          throw RPCError(
            VMFailure.engineFailed,
            "The process of '\(name)' ended at once (\(status?.result ?? "unknown")); its log says why: "
              + "journalctl -u \(unit), or the lab's log of that unit.",
            data: ["unit": .string(unit), "endedAtOnce": true])
        }
        guard ContinuousClock.now < deadline else { throw RPCError(error, name) }
        try wanted(name)
      }
    }
  }

  /// Lets a guest that waits run, with the memory that it is to have. One that was paused when its module was lost waits on, at
  /// its first instruction.
  func letRun(_ instance: any VMInstance, _ domain: Domain?, isHeld: Bool) async throws(EngineError) {
    if let bytes = domain?.memory.currentBytes { try await instance.setMemory(bytes: bytes) }
    if !isHeld { try await instance.resume() }
  }

  /// Takes a guest under watch.
  func adopt(_ instance: any VMInstance, _ name: VMName, on module: ModuleID) {
    guard let slot = machines[name]?.record.slot else { return }
    machines[name]?.instance?.close()
    machines[name]?.instance = instance
    machines[name]?.engine = instance.engine
    machines[name]?.upSince = .now
    machines[name]?.watcher = Task { [weak self] in
      for await event in instance.events { await self?.happened(event, to: name, instance) }
      await self?.connectionEnded(name, instance)
    }
    consoles.connect(name, slot: slot, module: module)
  }

  /// Learns the process of a guest that runs.
  func noteProcess(_ name: VMName) async {
    guard let unit = machines[name]?.unit, let status = try? await environment.units.status(unit) else { return }
    note(name) { $0.processID = status.mainProcessID.map(Int.init) }
  }

  /// Lets go of what this process held of a guest that is gone.
  func forgetProcess(_ name: VMName) {
    machines[name]?.instance?.close()
    machines[name]?.instance = nil
    machines[name]?.watcher = nil
    machines[name]?.processID = nil
    machines[name]?.paused = nil
    machines[name]?.thawMilliseconds = nil
    consoles.disconnect(name)
  }

  // MARK: Asked for

  /// Starts a machine that does not run; one that was saved goes on where it was.
  ///
  /// - Parameter discardsSaved: throws away what was saved.
  func start(_ name: VMName, on wish: ModuleID?, discardsSaved: Bool) async throws(RPCError) -> VMSummary {
    guard try admits(.start, name) else { return try machine(name).summary }
    if let wish, wish.kind != .cpu {
      throw RPCError(CommonFailure.invalidParams, "\(wish) is not a CPU module; choose cpu0 or cpu1.")
    }
    try requireUndoDecided(name)
    machines[name]?.isUnwanted = false
    if try machine(name).record.phase == .saved {
      if discardsSaved {
        _ = try await discardSaved(name)
      } else {
        if try machine(name).record.saved?.volumes == nil { try await settle(name) }
        try await requireUnchanged(name)
      }
    }
    let preferred = (try? machines[name]?.domain.get())?.settings.preferredModule
    let module = try await place(prefer: wish ?? preferred, name)
    try await commit(name) {
      $0.phase = .starting
      $0.module = module
      $0.reason = nil
      $0.isHeld = false
      // From here on its disks are changed by our own attempts.
      $0.saved?.volumes = nil
    }
    do {
      try await proveGone(name)
      try await fenceDisks(name)
      try await launch(name, on: module)
      try await commit(name, upChange(name)) { $0.phase = .running }
    } catch {
      await undoStart(name, error)
      throw error
    }
    alert(.info, "vmStarted", name, "'\(name)' runs on \(module).", ["module": .string(module.rawValue)])
    await noteProcess(name)
    return try self.machine(name).summary
  }

  /// Waits for a start or a recovery that was under way already. Not inside `exclusive`.
  func running(_ name: VMName, _ summary: VMSummary) async throws(RPCError) -> VMSummary {
    guard summary.state == .starting || summary.state == .failedOver else { return summary }
    let events = follow()
    let settled = await within(timing.answerTime * 2) { () -> VMSummary? in
      do {
        for try await event in events where event.vm.name == name {
          if event.vm.state != .starting, event.vm.state != .failedOver { return event.vm }
        }
      } catch {}
      return nil
    }
    let now = try machine(name).summary
    guard let settled = settled ?? nil else {
      throw RPCError(
        CommonFailure.timedOut, "'\(name)' is still being started: \(now.reason ?? "wait and look again").",
        data: ["state": .string(now.state.rawValue)])
    }
    guard settled.state == .running else {
      throw RPCError(
        VMFailure.engineFailed, "'\(name)' was not started: \(settled.reason ?? "it was ended meanwhile").",
        data: ["name": .string(name.rawValue), "state": .string(settled.state.rawValue)])
    }
    return settled
  }

  /// Ends what is left of a start. A machine whose saved state was not loaded is saved as before; any other is off.
  func leave(_ name: VMName, reason: String) async throws(RPCError) {
    guard machines[name]?.record.saved != nil else {
      try await proveGone(name)
      await releaseDisks(name)
      return try await commit(name) {
        $0.phase = .off
        $0.module = nil
        $0.isHeld = false
        $0.reason = reason
      }
    }
    try await commit(name) {
      $0.phase = .saved
      $0.reason = reason
    }
    // It is saved whatever comes now.
    do { try await settle(name) } catch { retryLater(name) }
  }

  /// After a start that failed: nothing of it is left.
  private func undoStart(_ name: VMName, _ error: RPCError) async {
    forgetProcess(name)
    do {
      try await leave(name, reason: error.message)
    } catch {
      // The record says `starting`; it is finished or undone when the unit manager answers again.
      retryLater(name)
    }
    alert(
      .error, "vmStartFailed", name, "'\(name)' could not be started: \(error.message)",
      ["kind": .string(error.kind)])
  }
}

extension RPCError {
  /// A definition that was refused.
  init(_ error: DomainError, name: VMName?) {
    var data: JSONObject = ["line": .integer(Int64(error.line)), "element": .string(error.element)]
    if let attribute = error.attribute { data["attribute"] = .string(attribute) }
    if let name { data["name"] = .string(name.rawValue) }
    self.init(VMFailure.badDefinition, "The definition is refused: \(error).", data: data)
  }
}
