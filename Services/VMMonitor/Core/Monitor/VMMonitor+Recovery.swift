import AlertAPI
import DomainXML
import HardwareAPI
import Primitives
import RPC
import VMAPI

/// Restart after a failure. Called inside `exclusive`.
extension VMMonitor {
  /// A guest ended although nobody asked for it.
  func failed(_ name: VMName, _ ending: Ending) async {
    guard let machine = machines[name], let module = machine.record.module else { return }
    let domain = try? machine.domain.get()
    let isPlanned = ending.isModuleLost && modules[module]?.state.isPlanned == true
    let begin = outageBegin(on: module, ending)
    let change = LedgerChange.down(atMilliseconds: begin, planned: isPlanned, cause: ending.cause)
    let isHealthy = machine.upSince.map { ContinuousClock.now - $0 >= timing.healthy } ?? true
    machines[name]?.attempts = isHealthy ? 0 : machine.attempts
    forgetProcess(name)
    alert(
      .error, "vmFailed", name, "'\(name)' failed on \(module): \(ending.cause).",
      ["module": .string(module.rawValue), "cause": .string(ending.cause)])
    let isRestarted =
      domain?.protection != Domain.Protection.none && (ending.isModuleLost || domain?.onCrash != .destroy)
    guard isRestarted else { return await crash(name, ending.cause, change) }
    guard await !quarantined(name, ending, change) else { return }
    let isFlapping = (machines[name]?.attempts ?? 0) > 0
    let detect = max(0, Double(ending.time - begin)) + (ContinuousClock.now - ending.noticed).milliseconds
    do {
      guard !isFlapping else {
        try await commit(name, change) { $0.becomeRecovering(ending.cause, from: module, at: begin) }
        return retryLater(name)
      }
      try await recover(name, Failure(cause: ending.cause, from: module, time: begin, detect: detect), change)
    } catch {
      await recoveryFailed(name, error, ending.cause, from: module, at: begin, change)
    }
  }

  /// What is known of a failure that is being recovered from.
  struct Failure: Sendable {
    var cause: String
    var from: ModuleID
    /// In milliseconds since 1970.
    var time: Int64
    /// Milliseconds from the failure to its notice.
    var detect: Double
  }

  /// When the outage began: the module's end where the hardware supervisor tells it, and the notice otherwise.
  private func outageBegin(on module: ModuleID, _ ending: Ending) -> Int64 {
    guard ending.isModuleLost, let status = modules[module] else { return ending.time }
    return status.sinceMilliseconds > ending.time - 60_000
      ? min(status.sinceMilliseconds, ending.time) : ending.time
  }

  /// Not to be restarted: it stays down until somebody starts it.
  private func crash(_ name: VMName, _ cause: String, _ change: LedgerChange?) async {
    do {
      try await proveGone(name)
      await releaseDisks(name)
      try await commit(name, change) {
        $0.phase = .crashed
        $0.reason = "\(cause); start it with 'ftctl vm start \(name)'"
        $0.module = nil
      }
    } catch { retryLater(name) }
  }

  /// Decides where, fences, starts, and measures each. The record says `running` when this returns.
  func recover(_ name: VMName, _ failure: Failure, _ change: LedgerChange? = nil) async throws(RPCError) {
    let begin = ContinuousClock.now
    try await inTurn(name) { () async throws(RPCError) in
      // It does not run, and waits for its turn.
      try await commit(name, change) { $0.becomeRecovering(failure.cause, from: failure.from, at: failure.time) }
    } _: { () async throws(RPCError) in
      try await recoverNow(name, failure, since: begin, change)
    }
  }

  /// - Parameter begin: where the decision begins; the wait for its turn is a part of that.
  private func recoverNow(
    _ name: VMName, _ failure: Failure, since begin: ContinuousClock.Instant, _ change: LedgerChange?
  ) async throws(RPCError) {
    let clock = ContinuousClock()
    let module = try await place(prefer: failure.from.partner, name)
    let decided = clock.now
    try await commit(name, change) {
      $0.becomeRecovering(failure.cause, from: failure.from, at: failure.time)
      $0.module = module
    }
    try await proveGone(name)
    try await fenceDisks(name)
    let fenced = clock.now
    try await launch(name, on: module)
    try await finishRecovery(
      name,
      Recovery(
        cause: failure.cause, fromModule: failure.from, toModule: module, failedMilliseconds: failure.time,
        detectMilliseconds: failure.detect, decideMilliseconds: (decided - begin).milliseconds,
        fenceMilliseconds: (fenced - decided).milliseconds, startMilliseconds: (clock.now - fenced).milliseconds))
  }

  /// Writes down that it runs again.
  func finishRecovery(_ name: VMName, _ recovery: Recovery) async throws(RPCError) {
    let module = recovery.toModule
    let isHeld = machines[name]?.record.isHeld == true
    try await commit(name, upChange(name)) {
      $0.phase = .running
      $0.module = module
      $0.reason =
        isHeld ? "it was paused when \(recovery.cause); 'ftctl vm resume \(name)' starts it from its beginning" : nil
      $0.failovers += 1
      $0.failedMilliseconds = nil
      $0.fromModule = nil
      $0.lastRecovery = recovery
    }
    alert(
      .warning, "vmFailedOver", name,
      isHeld
        ? "'\(name)' is ready on \(module) after \(recovery.cause). It was paused; its memory is lost, and it starts from "
          + "its beginning when it is resumed."
        : "'\(name)' runs again, on \(module), after \(recovery.cause).",
      [
        "fromModule": .string(recovery.fromModule.rawValue), "toModule": .string(module.rawValue),
        "cause": .string(recovery.cause), "detectMilliseconds": .number(recovery.detectMilliseconds),
        "decideMilliseconds": .number(recovery.decideMilliseconds),
        "fenceMilliseconds": .number(recovery.fenceMilliseconds),
        "startMilliseconds": .number(recovery.startMilliseconds),
        "failedMilliseconds": .integer(recovery.failedMilliseconds),
      ])
    await noteProcess(name)
  }

  /// An attempt failed: the reason is shown, and another follows.
  private func recoveryFailed(
    _ name: VMName, _ error: RPCError, _ cause: String, from module: ModuleID, at time: Int64, _ change: LedgerChange?
  ) async {
    forgetProcess(name)
    guard machines[name]?.isUnwanted != true else { return }
    let attempt = (machines[name]?.attempts ?? 0) + 1
    if attempt == 1 || attempt.isMultiple(of: 10) {
      alert(
        .error, "vmStartFailed", name, "'\(name)' could not be restarted yet: \(error.message)",
        ["kind": .string(error.kind), "attempt": .integer(Int64(attempt))])
    }
    // What cannot be written now is written by the next attempt; the record still says that it is to run.
    try? await commit(name, change) {
      $0.becomeRecovering(cause, from: module, at: time)
      $0.reason = "\(cause); attempt \(attempt) to restart it failed: \(error.message)"
    }
    retryLater(name)
  }

  /// Carries on with what a machine's record says: after a pause, or as the monitor that takes over.
  func resume(_ name: VMName) async {
    _ = try? await exclusive(name) { monitor async throws(RPCError) in
      guard let machine = monitor.machines[name], !machine.isUnwanted else { return }
      switch machine.record.phase {
      case .off, .crashed, .quarantined: return
      case .saved: if machine.record.saved?.volumes == nil { try await monitor.settleOrRetry(name) }
      case .saving: await monitor.undoSave(name, because: nil)
      case .running: monitor.lookAfter(name)
      case .stopping: try await monitor.resumeStopping(name)
      case .starting, .recovering: await monitor.resumeRecovery(name)
      }
    }
  }

  private func startForHostNow(_ name: VMName) async throws(RPCError) {
    try await requireUnchanged(name)
    let preferred = (try? machines[name]?.domain.get())?.settings.preferredModule
    let module = try await place(prefer: machines[name]?.record.module ?? preferred, name)
    try await commit(name) {
      $0.module = module
      $0.saved?.volumes = nil
    }
    try await proveGone(name)
    try await fenceDisks(name)
    try await launch(name, on: module)
    try await commit(name, upChange(name)) {
      $0.phase = .running
      $0.reason = nil
    }
    alert(.info, "vmStarted", name, "'\(name)' runs on \(module).", ["module": .string(module.rawValue)])
    await noteProcess(name)
  }

  private func settleOrRetry(_ name: VMName) async throws(RPCError) {
    do { try await settle(name) } catch {
      retryLater(name)
      throw error
    }
  }

  private func resumeStopping(_ name: VMName) async throws(RPCError) {
    guard let record = machines[name]?.record else { return }
    guard record.stopMilliseconds ?? 0 <= now() else { return lookAfter(name) }
    do { try await finishStop(name, cause: "it was ended") } catch {
      retryLater(name)
      throw error
    }
  }

  /// Another attempt to bring a machine up that is to run.
  func resumeRecovery(_ name: VMName) async {
    guard let record = machines[name]?.record else { return }
    guard let time = record.failedMilliseconds, let from = record.fromModule else { return await startForHost(name) }
    let cause = record.reason.map { String($0.split(separator: ";").first ?? "") } ?? "a failure"
    do {
      // What passed until now is no part of this attempt's phases: the monitor's own failover, or earlier attempts.
      let passed = Double(max(0, now() - time))
      try await recover(name, Failure(cause: cause, from: from, time: time, detect: passed))
    } catch {
      await recoveryFailed(name, error, cause, from: from, at: time, nil)
    }
  }

  /// Starts a machine that is to run since the host started, or whose start was cut off; does not give up.
  private func startForHost(_ name: VMName) async {
    do {
      try await inTurn(name) { () async throws(RPCError) in
      } _: { () async throws(RPCError) in
        try await startForHostNow(name)
      }
    } catch {
      forgetProcess(name)
      guard machines[name]?.isUnwanted != true else { return }
      if error.matches(VMFailure.savedStateUnusable) { return await stayWithSaved(name, error) }
      let attempt = (machines[name]?.attempts ?? 0) + 1
      note(name) { $0.record.reason = "attempt \(attempt) to start it failed: \(error.message)" }
      if attempt == 5 || attempt.isMultiple(of: 20) {
        alert(.error, "vmStartFailed", name, "'\(name)' could not be started yet: \(error.message)")
      }
      retryLater(name)
    }
  }
}

extension VMMonitor {
  /// A machine whose saved state is of no use is not started from its beginning by itself: somebody decides.
  private func stayWithSaved(_ name: VMName, _ error: RPCError) async {
    do { try await leave(name, reason: error.message) } catch { return retryLater(name) }
    alert(
      .error, "vmStartFailed", name, "'\(name)' could not be started: \(error.message)",
      ["kind": .string(error.kind)])
  }
}

extension MachineRecord {
  mutating func becomeRecovering(_ cause: String, from module: ModuleID, at time: Int64) {
    phase = .recovering
    reason = cause
    fromModule = module
    failedMilliseconds = time
  }
}
