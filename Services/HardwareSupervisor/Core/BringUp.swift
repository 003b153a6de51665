import HardwareAPI
import Primitives
import RPC
import ServiceAPI
import UnitManager

/// The last start of a unit that was asked for.
struct Launch {
  var isRunning: Bool
  /// When, in nanoseconds of the monotonic clock.
  var began: Int64
  /// Why it failed.
  var problem: String?
}

extension HardwareSupervisor {
  /// Starts a CPU module's units and follows it until it is in service.
  func bringUp(_ module: ModuleID, _ begun: Int) async {
    var revision = begun
    guard await unmark(module, revision) else { return }
    var deadline = now + limits.start
    var wasTold = false
    while isCurrent(module, revision), let state = records[module]?.state {
      var missing = await startMissing(module)
      guard isCurrent(module, revision) else { return }
      if missing == nil, state == .syncing, !isBeating(module) { missing = UnitNames.agent(module) }
      if state == .shot || missing == nil {
        guard let next = await advance(module, revision, from: state) else { return }
        revision = next
        if records[module]?.task != .start { return }
        continue
      }
      progress[module] = missing.map { "It waits for \($0)." }
      if now > deadline, let missing {
        guard await giveUp(module, revision, missing, wasTold: wasTold) else { return }
        wasTold = true
        deadline = now + limits.start
      }
      await pause(limits.unitPoll)
    }
  }

  /// The step from one state of a start to the next.
  private func advance(_ module: ModuleID, _ revision: Int, from state: ModuleState) async -> Int? {
    await step(module, revision) { draft in
      let reason = draft.records[module]?.reason
      switch state {
      case .initializing: draft.follow(module, .unitsRunning, reason: reason)
      case .diagnostics: draft.follow(module, .tested, reason: reason)
      case .diagnosticsPassed: draft.follow(module, .joining, reason: reason)
      case .syncing: draft.enterService(module, agents[module])
      default:
        if !draft.follow(module, .returning, reason: reason) { draft.records[module]?.task = .none }
      }
    }
  }

  /// Whether the module's agent is there and heard.
  private func isBeating(_ module: ModuleID) -> Bool {
    guard agents[module]?.isAttached == true else { return false }
    return heartbeats[module].map { $0.count >= 2 } == true && silence(module) <= limits.heartbeatBound
  }

  /// Asks for every unit that does not run. One that starts already, or is about to be restarted by the unit manager, is left to
  /// that.
  ///
  /// - Returns: the first that does not run, or nil when all do.
  private func startMissing(_ module: ModuleID) async -> String? {
    var missing: String?
    for unit in UnitNames.all(module) {
      let status = try? await units.status(unit)
      if status?.activeState == .active { continue }
      missing = missing ?? unit
      if status?.activeState == .activating { continue }
      let last = launches[unit]
      if last?.isRunning == true || last.map({ now - $0.began < limits.startRepeat }) == true { continue }
      launches[unit] = Launch(isRunning: true, began: now, problem: last?.problem)
      spawn { await self.launch(unit) }
    }
    return missing
  }

  private func launch(_ unit: String) async {
    var problem: String?
    do {
      _ = try await units.start(unit)
    } catch .startFailed(_, let result) {
      problem = "\(unit) ended instead of becoming ready (\(result))."
    } catch {
      problem = "\(error)"
    }
    launches[unit]?.isRunning = false
    launches[unit]?.problem = problem
  }

  /// The module did not come into service in time: it is broken, unless it is the last one, which keeps trying.
  ///
  /// - Returns: whether to go on trying.
  private func giveUp(_ module: ModuleID, _ revision: Int, _ missing: String, wasTold: Bool) async -> Bool {
    let name = module.rawValue
    let problem = launches[missing]?.problem ?? "\(missing) did not become ready."
    let advice = "Its log says why: 'journalctl -u \(missing)'."
    let data: [String: JSONValue] = [
      "unit": .string(missing), "problem": .string(problem),
      "waitedMilliseconds": .integer(limits.start / 1_000_000),
    ]
    // A partner that should be out of service, but still runs, comes back where this one is broken.
    let partnerWaits = records[module.partner]?.task == .isolate
    guard standing(module.partner) == .alive || partnerWaits else {
      guard !wasTold else { return true }
      PendingAlert(
        severity: .critical, kind: "moduleReturnFailed", subject: name,
        message:
          "\(name) does not come into service: \(problem) No other can carry on, so that it is tried further. \(advice)",
        data: data
      ).publish(around.alerts)
      return true
    }
    _ = await step(module, revision) { draft in
      draft.follow(module, .gaveUp, reason: "It did not come into service: \(problem)", task: .isolate)
      draft.records[module]?.stays = true
      draft.alert(.error, "moduleReturnFailed", module, "\(name) did not come into service: \(problem) \(advice)", data)
    }
    return false
  }

  /// Removes the mark, repeating it until it is gone.
  private func unmark(_ module: ModuleID, _ revision: Int) async -> Bool {
    while isCurrent(module, revision) {
      do {
        try await around.marks.remove(module)
        if module.kind == .io { await state.checkLegs() }
        return isCurrent(module, revision)
      } catch {
        logger.error("A mark could not be removed", metadata: ["module": "\(module)", "error": "\(error)"])
        await pause(limits.retry)
      }
    }
    return false
  }

  // MARK: I/O modules

  /// Follows an I/O module until every service has its leg in step.
  func bringUpLeg(_ module: ModuleID, _ begun: Int) async {
    var revision = begun
    guard await unmark(module, revision) else { return }
    // Each service waits before it tries a leg again that failed: whoever brings the module online has repaired it.
    await haveLegsChecked()
    guard isCurrent(module, revision) else { return }
    if records[module]?.state != .syncing {
      let next = await step(module, revision) { draft in
        let reason = draft.records[module]?.reason
        if draft.records[module]?.state == .shot { draft.follow(module, .returning, reason: reason) }
        draft.follow(module, .joining, reason: reason)
      }
      guard let next else { return }
      revision = next
    }
    var lostSince: Int64?
    while isCurrent(module, revision) {
      let views = await views(of: module)
      guard isCurrent(module, revision) else { return }
      if views.allSatisfy({ $0.status?.state == .inStep }) {
        _ = await step(module, revision) { draft in draft.enterService(module, nil) }
        return
      }
      progress[module] = Self.words(views)
      if let lost = views.first(where: { $0.status?.state == .lost }) {
        lostSince = lostSince ?? now
        if let since = lostSince, now - since > limits.legReturn {
          return await giveUpLeg(module, revision, lost)
        }
      } else {
        lostSince = nil
      }
      await pause(limits.syncPoll)
    }
  }

  private func giveUpLeg(_ module: ModuleID, _ revision: Int, _ lost: LegView) async {
    let why = lost.status?.reason ?? "it cannot be reached"
    _ = await step(module, revision) { draft in
      let sentence = "\(lost.service.rawValue) does not get its leg back: \(why)"
      draft.follow(module, .gaveUp, reason: sentence, task: ModuleTask.none)
      draft.records[module]?.stays = false
      draft.alert(
        .error, "moduleReturnFailed", module,
        "\(module.rawValue) did not come into service: \(sentence) It joins by itself once the leg is there.",
        ["service": .string(lost.service.rawValue), "problem": .string(why)])
    }
  }

  /// Why a leg is not in step, for people.
  private static func words(_ views: [LegView]) -> String? {
    let behind = views.filter { $0.status?.state != .inStep }.map { view -> String in
      guard let status = view.status else { return "\(view.service.rawValue) does not answer" }
      guard let done = status.doneBytes, let total = status.totalBytes, total > 0, done >= 0 else {
        return "\(view.service.rawValue): \(status.state.rawValue)"
      }
      return "\(view.service.rawValue): \(Int(min(100, Double(done) / Double(total) * 100))) % copied"
    }
    return behind.isEmpty ? nil : "It waits for its leg: \(behind.joined(separator: ", "))."
  }
}

extension Draft {
  /// The module is in service.
  mutating func enterService(_ module: ModuleID, _ agent: Agent?) {
    let outage = outage(module)
    guard follow(module, .inStep, task: ModuleTask.none) else { return }
    records[module]?.incarnation = agent?.incarnation
    records[module]?.agentProcess = agent?.process
    records[module]?.stays = false
    var data: [String: JSONValue] = ["failures": .integer(Int64(records[module]?.failures ?? 0))]
    if let outage { data["outOfServiceMilliseconds"] = .integer(outage) }
    alert(.info, "moduleOnline", module, "\(module.rawValue) is in service.", data)
  }
}
