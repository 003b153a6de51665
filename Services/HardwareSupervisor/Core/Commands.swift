import HardwareAPI
import Primitives
import RPC

extension HardwareSupervisor {
  /// Carries out a command. Returns when it is done, or for `online` when it has begun; a command whose work an earlier
  /// one did is answered alike.
  ///
  /// - Parameter force: for `fail`, take the last module of a pair, too.
  /// - Throws: `wrongState`, `lastInService`, `unitsDidNotStop`.
  public func command(
    _ command: ModuleCommand, _ module: ModuleID, reason: String? = nil, force: Bool = false
  ) async throws(RPCError) -> ModuleStatus {
    if command == .offline || command == .fail { await partnerIsJudged(module) }
    var began = false
    let revisions = try await commit { draft throws(RPCError) in
      began = try draft.carryOut(command, module, reason: reason, force: force, partner: carries(module, draft))
    }
    kick(module)
    guard command != .online, command != .insert, began || driving.contains(module) else { return status(of: module) }
    // The end of its own module is what this instance cannot tell of.
    if command != .offline, module == around.module { return status(of: module) }
    switch await outcome(module, revisions[module, default: 0]) {
    case .unitsDidNotStop: throw unitsDidNotStop(module)
    case .kept:
      if let record = records[module] { throw lastInService(command, record, partner: records[module.partner]) }
    case .done, .superseded: break
    }
    return status(of: module)
  }

  private func unitsDidNotStop(_ module: ModuleID) -> RPCError {
    RPCError(
      HardwareFailure.unitsDidNotStop,
      "Processes of \(module.rawValue) did not end within \(limits.isolation / 1_000_000_000) s though they were "
        + "killed; the killing goes on. See 'systemctl status \(UnitNames.slice(module))'.",
      data: ["module": .string(module.rawValue), "slice": .string(UnitNames.slice(module))])
  }

  /// Whether the partner can carry on alone.
  private func carries(_ module: ModuleID, _ draft: Draft) -> Bool {
    guard draft.records[module.partner]?.state == .online else { return false }
    return module.kind == .io || standing(module.partner) == .alive
  }

  /// Waits until it is known whether the partner is there: a CPU module after a takeover, the legs of an I/O module as its
  /// services see them now.
  private func partnerIsJudged(_ module: ModuleID) async {
    guard module.kind == .cpu else { return await examineLegs(of: [module.partner]) }
    while !isStopped, standing(module.partner) == .unknown, now < graceUntil + limits.heartbeatBound {
      await pause(limits.emptyPoll)
    }
  }
}

extension Draft {
  /// Decides on a command.
  ///
  /// - Parameter partner: whether the partner can carry on alone.
  /// - Returns: whether there is something to do now.
  mutating func carryOut(
    _ command: ModuleCommand, _ module: ModuleID, reason: String?, force: Bool, partner: Bool
  ) throws(RPCError) -> Bool {
    guard let record = records[module] else {
      throw RPCError(HardwareFailure.noSuchModule, "The host has no module \(module.rawValue).")
    }
    switch ModuleTransitions.verdict(record.state, command) {
    case .refused: throw refusal(command, record)
    case .alreadyDone:
      guard command == .fail, !record.stays else { return false }
      // It failed by itself and would return by itself: from now on it stays.
      records[module]?.stays = true
      records[module]?.task = .isolate
      return true
    case .enters: break
    }
    let wasUp = ModuleTransitions.isUp(record.state)
    if wasUp, command == .offline || command == .fail, !partner, !(command == .fail && force) {
      throw lastInService(command, record, partner: records[module.partner])
    }
    follow(module, .command(command), reason: sentence(command, given: reason))
    switch command {
    case .offline:
      prepare(module, task: .stop, stays: true, isForced: false)
      alert(
        .info, "moduleOffline", module,
        "\(module.rawValue) was taken out of service. \(records[module].flatMap(nextStep) ?? "")")
    case .online: prepare(module, task: .start, stays: false, isForced: false)
    case .fail:
      prepare(module, task: .isolate, stays: true, isForced: force)
      guard wasUp else { return true }
      records[module]?.failures += 1
      alert(
        partner ? .error : .critical, "moduleFailed", module,
        "\(module.rawValue) failed: \(withFullStop(records[module]?.reason ?? "")) "
          + "It stays out of service until 'ftctl module online \(module.rawValue)'.",
        ["cause": "injected", "injected": true])
    case .remove:
      // What an operator took out is isolated already; what failed by itself may not be.
      let isIsolated = record.task == .none && record.stays
      prepare(module, task: isIsolated ? .none : .isolate, stays: true, isForced: false)
      alert(.info, "moduleRemoved", module, "\(module.rawValue) was taken from its slot.")
    case .insert:
      alert(
        .info, "moduleInserted", module,
        "\(module.rawValue) is in its slot. Bring it into service with 'ftctl module online \(module.rawValue)'.")
    }
    return true
  }

  private mutating func prepare(_ module: ModuleID, task: ModuleTask, stays: Bool, isForced: Bool) {
    records[module]?.task = task
    records[module]?.stays = stays
    records[module]?.isForced = isForced
    records[module]?.incarnation = nil
  }

  private func sentence(_ command: ModuleCommand, given: String?) -> String {
    switch command {
    case .offline: "Taken out of service by an operator."
    case .online: "Brought online by an operator."
    case .fail: given.map { String($0.prefix(500)) } ?? "Its failure was injected."
    case .remove: "Removed by an operator."
    case .insert: "Inserted by an operator."
    }
  }
}
