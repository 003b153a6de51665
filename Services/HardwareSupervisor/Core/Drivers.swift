import Glibc
import HardwareAPI
import Primitives
import RPC
import UnitManager

/// How a task ended, for a caller who waits for it.
enum TaskOutcome: Sendable {
  case done, superseded, unitsDidNotStop
  /// The module stays in service: its partner was lost meanwhile.
  case kept
}

/// Somebody who waits until the task that began with this revision is done.
struct Waiter {
  let module: ModuleID
  let revision: Int
  let continuation: CheckedContinuation<TaskOutcome, Never>
}

extension HardwareSupervisor {
  /// Sees to it that a module's task is being carried out.
  func kick(_ module: ModuleID) {
    guard !isStopped, let record = records[module], record.task != .none, driving.insert(module).inserted else {
      return
    }
    spawn { await self.drive(module) }
  }

  private func drive(_ module: ModuleID) async {
    while !isStopped, let record = records[module], record.task != .none {
      let revision = revisions[module, default: 0]
      switch record.task {
      case .isolate: await isolate(module, revision)
      case .stop: await stopInOrder(module, revision)
      case .start: module.kind == .cpu ? await bringUp(module, revision) : await bringUpLeg(module, revision)
      case .none: break
      }
      finish(module, revision, isStopped ? .superseded : .done)
    }
    driving.remove(module)
  }

  /// Whether a driver's task is still the one to do.
  func isCurrent(_ module: ModuleID, _ revision: Int) -> Bool {
    !isStopped && revisions[module, default: 0] == revision
  }

  /// Stores a step of a driver, repeating it until it is stored or no longer the one to do.
  ///
  /// - Returns: the revision after it, or nil when the task has been superseded.
  func step(_ module: ModuleID, _ revision: Int, _ body: (inout Draft) -> Void) async -> Int? {
    while isCurrent(module, revision) {
      do {
        var isMine = false
        let after = try await commit { draft throws(RPCError) in
          isMine = isCurrent(module, revision)
          if isMine { body(&draft) }
        }
        return isStopped || !isMine ? nil : after[module, default: 0]
      } catch {
        logger.error("A step could not be stored", metadata: ["module": "\(module)", "error": "\(error)"])
        await pause(limits.retry)
      }
    }
    return nil
  }

  /// Waits for the end of the task that a command began.
  func outcome(_ module: ModuleID, _ revision: Int) async -> TaskOutcome {
    guard driving.contains(module) else { return .done }
    return await withCheckedContinuation {
      waiters.append(Waiter(module: module, revision: revision, continuation: $0))
    }
  }

  func finish(_ module: ModuleID, _ revision: Int, _ outcome: TaskOutcome) {
    let ready = waiters.filter { $0.module == module && $0.revision <= revision }
    waiters.removeAll { $0.module == module && $0.revision <= revision }
    for waiter in ready { waiter.continuation.resume(returning: outcome) }
  }

  // MARK: Isolation

  /// Keeps everything on a module from running: the mark first, so that nothing starts again, then the kill.
  func isolate(_ module: ModuleID, _ revision: Int) async {
    guard await mayIsolate(module, revision), await mark(module, revision) else { return }
    if module.kind == .cpu {
      // Whoever asked for it gets the answer before the one who answers goes down with the module.
      if module == around.module { await pause(limits.lastWords) }
      guard await killAll(module, revision) else { return }
    }
    _ = await step(module, revision) { draft in draft.endIsolation(module) }
  }

  /// Whether the isolation that was decided may begin. Once the mark is there it has begun; before, the partner must
  /// be there to carry on, or the last module would be lost.
  private func mayIsolate(_ module: ModuleID, _ revision: Int) async -> Bool {
    guard records[module]?.isForced == false, !(await around.marks.exists(module)) else {
      return isCurrent(module, revision)
    }
    while isCurrent(module, revision) {
      switch module.kind == .cpu ? carrier(for: module) : legCarrier(for: module) {
      case .there: return true
      case .mayCome: await pause(limits.unitPoll)
      case .missing:
        if await step(module, revision, { draft in draft.keepLast(module) }) != nil { finish(module, revision, .kept) }
        return false
      }
    }
    return false
  }

  private enum Carrier { case there, mayCome, missing }

  private func carrier(for module: ModuleID) -> Carrier {
    let partner = records[module.partner]
    if standing(module.partner) == .alive { return .there }
    let mayCome = standing(module.partner) == .unknown || partner?.task == .start || suspects[module.partner] != nil
    return mayCome ? .mayCome : .missing
  }

  /// An I/O module is missed where the supervisor's own state is on its leg alone. What says that it is to go may be older
  /// than the loss of the other one: an administrator had the host started from that leg.
  private func legCarrier(for module: ModuleID) -> Carrier {
    let legs = state.legs()
    guard legs.first(where: { $0.leg.module == module })?.state == .inStep else { return .there }
    switch legs.first(where: { $0.leg.module == module.partner })?.state {
    case .inStep?: return .there
    case .resyncing?: return .mayCome
    case .lost?, .stale?, nil: return .missing
    }
  }

  /// Writes the mark, repeating it until it is there or no longer wanted.
  private func mark(_ module: ModuleID, _ revision: Int) async -> Bool {
    while isCurrent(module, revision) {
      do {
        try await around.marks.write(module)
        if module.kind == .io { await state.checkLegs() }
        return isCurrent(module, revision)
      } catch {
        logger.error("A mark could not be written", metadata: ["module": "\(module)", "error": "\(error)"])
        await pause(limits.retry)
      }
    }
    return false
  }

  /// Kills the module's slice until nothing is left in it. Those who wait are told when that takes too long; the
  /// killing goes on all the same.
  private func killAll(_ module: ModuleID, _ revision: Int) async -> Bool {
    let slice = UnitNames.slice(module)
    let deadline = now + limits.isolation
    var wasTold = false
    while isCurrent(module, revision) {
      try? await units.kill(slice, signal: SIGKILL)
      let nextKill = now + limits.killRepeat
      repeat {
        if await isEmpty(slice) {
          // The end of this agent's connection, whenever it is noticed, says nothing about the one that comes next.
          agents[module]?.instructions.finish()
          agents[module] = nil
          return isCurrent(module, revision)
        }
        await pause(limits.emptyPoll)
      } while isCurrent(module, revision) && now < nextKill
      guard now > deadline else { continue }
      if !wasTold {
        wasTold = true
        PendingAlert(
          severity: .critical, kind: "unitsDidNotStop", subject: module.rawValue,
          message: "Processes of \(module.rawValue) do not end though they were killed. Nothing that ran there is "
            + "started elsewhere until they do: see 'systemctl status \(slice)'.",
          data: ["slice": .string(slice), "waitedMilliseconds": .integer(limits.isolation / 1_000_000)]
        ).publish(around.alerts)
        finish(module, revision, .unitsDidNotStop)
      }
      await pause(limits.retry)
    }
    return false
  }

  func isEmpty(_ slice: String) async -> Bool {
    do {
      return try await units.isEmpty(slice)
    } catch {
      if case .noSuchUnit = error { return true }
      return false
    }
  }

  // MARK: Stopping in good order

  /// Stops a module's units by asking, the supervisor's own last, and kills what is left after the bound.
  func stopInOrder(_ module: ModuleID, _ revision: Int) async {
    if module.kind == .io { guard await mayIsolate(module, revision) else { return } }
    guard await mark(module, revision) else { return }
    if module.kind == .cpu {
      let own = module == around.module ? UnitNames.service(.hardware, on: module) : nil
      let deadline = now + limits.orderlyStop
      let names = UnitNames.all(module).filter { $0 != own }
      for name in names { spawn { try? await self.units.stop(name) } }
      while isCurrent(module, revision), now < deadline, await !hasStopped(names, module, own: own) {
        await pause(limits.unitPoll)
      }
      guard isCurrent(module, revision) else { return }
      if let own {
        // The next active instance finds the task and ends it.
        finish(module, revision, .done)
        await pause(limits.lastWords)
        try? await units.stop(own)
        while isCurrent(module, revision) { await pause(limits.retry) }
        return
      }
      guard await killAll(module, revision) else { return }
    }
    _ = await step(module, revision) { draft in draft.endIsolation(module) }
  }

  /// Whether the units have ended. With the supervisor's own still there, guests are left to the VM monitor.
  private func hasStopped(_ names: [String], _ module: ModuleID, own: String?) async -> Bool {
    for name in names {
      guard let status = try? await units.status(name) else { return false }
      if status.activeState != .inactive && status.activeState != .failed { return false }
    }
    return own == nil ? await isEmpty(UnitNames.slice(module)) : true
  }
}

extension Draft {
  /// The module should be out of service, but nothing could carry on without it.
  mutating func keepLast(_ module: ModuleID) {
    let name = module.rawValue
    follow(module, .returning, reason: "No other \(module.kind.noun) module is in service.", task: .start)
    records[module]?.stays = false
    alert(
      .critical, "lastModuleKept", module,
      "\(name) should be out of service, but \(module.partner.rawValue) is not in service: \(name) stays. "
        + "Bring \(module.partner.rawValue) online, then take \(name) out.")
  }

  /// Nothing of the module runs any more: it stays so, or returns.
  mutating func endIsolation(_ module: ModuleID) {
    guard let record = records[module] else { return }
    let took = age(module)
    if record.stays {
      records[module]?.task = .none
    } else {
      follow(module, .isolated, reason: record.reason, task: .start)
    }
    guard module.kind == .cpu else { return }
    alert(
      .info, "moduleIsolated", module, "Everything on \(module.rawValue) was stopped.",
      ["isolationMilliseconds": .integer(took), "returns": .bool(!record.stays)])
  }
}
