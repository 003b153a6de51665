import HardwareAPI
import Primitives
import RPC
import UnitManager

/// What is known of a CPU module's agent since this instance took over.
struct Agent {
  /// Tells apart connections of the same agent.
  var attachment: Int
  var incarnation: GenerationID
  var process: Int32?
  var isAttached: Bool
  /// It is silent but waits for a processor: when to look again.
  var heldUpUntil: Int64 = 0
  /// It was stopped in good order and may stay away until then.
  var absentUntil: Int64?
  var instructions: AsyncThrowingStream<AgentInstruction, any Error>.Continuation
}

/// Why a module counts as failed though nobody injected it.
enum FailureCause: String, Sendable, Equatable {
  case agentGone, heartbeatMissed, agentNotRunning, newIncarnation

  /// For sentences: "cpu0 failed: …".
  var words: String {
    switch self {
    case .agentGone: "the connection of its agent ended"
    case .heartbeatMissed: "its agent was silent for longer than the bound"
    case .agentNotRunning: "its agent does not run"
    case .newIncarnation: "its agent was started anew, so that the module must have failed in between"
    }
  }
}

/// What can be said of a module's fitness to carry on alone.
enum Standing { case alive, dead, unknown }

extension HardwareSupervisor {
  /// Registers a CPU module's agent. The end of the stream by its reader's side is the end of the agent.
  public func attach(
    _ params: AttachModuleAgent.Params
  ) throws(RPCError) -> AsyncThrowingStream<AgentInstruction, any Error> {
    let module = params.module
    guard module.kind == .cpu else {
      throw RPCError(
        CommonFailure.invalidParams, "\(module.rawValue) is not a CPU module: only those have agents.")
    }
    guard !isStopped else {
      throw RPCError(CommonFailure.stopping, "The service is handing over to its other instance; repeat the call.")
    }
    attachments += 1
    let attachment = attachments
    let (stream, continuation) = AsyncThrowingStream<AgentInstruction, any Error>.makeStream()
    continuation.yield(AgentInstruction(heartbeatIntervalMilliseconds: limits.heartbeatIntervalMilliseconds))
    let previous = agents[module]
    agents[module] = Agent(
      attachment: attachment, incarnation: params.incarnation, process: Int32(exactly: params.processID),
      isAttached: true, instructions: continuation)
    heartbeats.begin(module, params.incarnation, at: now)
    heartbeats.disturb()
    previous?.instructions.finish()
    continuation.onTermination = { _ in Task { await self.detach(module, attachment) } }
    // Even where the record does not change, the other module's fate may have waited for this one.
    spawn { await self.welcome(module, params.incarnation, Int32(exactly: params.processID)) }
    return stream
  }

  /// Compares an agent that attached with the one that was in service.
  private func welcome(_ module: ModuleID, _ incarnation: GenerationID, _ process: Int32?) async {
    if let record = records[module], record.state == .online, agents[module]?.incarnation == incarnation {
      if record.incarnation == nil {
        _ = try? await commit { draft throws(RPCError) in
          guard draft.records[module]?.state == .online else { return }
          draft.records[module]?.incarnation = incarnation
          draft.records[module]?.agentProcess = process
        }
      } else if record.incarnation != incarnation {
        suspect(module, .newIncarnation)
      }
    }
    await decide()
  }

  /// Notes a beat, on the thread that read it. The last one is more than that.
  nonisolated func note(_ beat: SendHeartbeat.Params) -> Bool {
    guard beat.isLast != true else { return false }
    _ = heartbeats.note(beat.module, beat.incarnation, at: around.clock.nanoseconds)
    return true
  }

  /// Notes a beat that wants an answer, or is the last one.
  public nonisolated func heartbeat(_ params: SendHeartbeat.Params) async {
    guard heartbeats.note(params.module, params.incarnation, at: around.clock.nanoseconds), params.isLast == true
    else { return }
    await expectAbsence(params.module, params.incarnation)
  }

  /// An agent was told to end. Whoever stops it may start it again: the next agent is another one, and no failure.
  private func expectAbsence(_ module: ModuleID, _ incarnation: GenerationID) async {
    guard let agent = agents[module], agent.isAttached, agent.incarnation == incarnation else { return }
    agents[module]?.absentUntil = now + limits.orderlyAbsence
    heartbeats.disturb()
    _ = try? await commit { draft throws(RPCError) in draft.records[module]?.incarnation = nil }
  }

  /// The agent's connection ended: a failure, unless it had said that it would.
  func detach(_ module: ModuleID, _ attachment: Int) {
    guard !isStopped, agents[module]?.attachment == attachment else { return }
    agents[module]?.isAttached = false
    heartbeats.end(module)
    heartbeats.disturb()
    guard agents[module]?.absentUntil == nil else { return }
    suspect(module, .agentGone)
    spawn { await self.decide() }
  }

  // MARK: Watching

  /// Looks at the agents whenever one of them has missed its bound, or something else is to be judged.
  func watchAgents() async {
    let clock = around.clock
    let bound = limits.heartbeatBound + Self.afterBound
    while !isStopped, !Task.isCancelled {
      if isCalm { heartbeats.becomeCalm() }
      let wake = await clock.sleep(nanoseconds: nextLook() - now) { [heartbeats] in
        heartbeats.calm(bound: bound, at: clock.nanoseconds)
      }
      // Awake too late, the supervisor itself was held up: what came meanwhile is still to be read.
      let late = now - wake
      if late > limits.heartbeatBound / 2 { excuse(late) }
      await examineAgents()
    }
  }

  /// Whether each module in service has an agent that is attached, so that a look is due only once one of them is silent.
  private var isCalm: Bool {
    suspects.isEmpty
      && ModuleID.all(of: .cpu).allSatisfy { module in
        guard let record = records[module], ModuleTransitions.isUp(record.state) else { return true }
        return agents[module].map { $0.isAttached && $0.absentUntil == nil } ?? false
      }
  }

  /// A look comes that much after a bound has passed.
  private static let afterBound: Int64 = 1_000_000

  private func nextLook() -> Int64 {
    var wake = now + limits.heartbeatBound
    for module in ModuleID.all(of: .cpu) where records[module]?.state == .online {
      if let agent = agents[module], agent.isAttached {
        wake = min(wake, max(lastBeat(module) + limits.heartbeatBound + Self.afterBound, agent.heldUpUntil))
      } else if now < graceUntil {
        wake = min(wake, now + limits.unitPoll)
      }
    }
    return max(wake, now + 1_000_000)
  }

  /// When an agent was last heard.
  private func lastBeat(_ module: ModuleID) -> Int64 { heartbeats[module]?.last ?? now }

  /// How long nothing was heard of an agent.
  func silence(_ module: ModuleID) -> Int64 { max(0, now - lastBeat(module)) }

  private func excuse(_ late: Int64) {
    heartbeats.excuse(late, until: now)
    if graceUntil > now - late { graceUntil += late }
  }

  /// Finds modules that failed.
  func examineAgents() async {
    for module in ModuleID.all(of: .cpu) {
      guard let record = records[module], ModuleTransitions.isUp(record.state) else { continue }
      if let agent = agents[module] {
        if let absentUntil = agent.absentUntil {
          if now > absentUntil { suspect(module, .agentNotRunning) }
        } else if silence(module) > limits.heartbeatBound, agent.isAttached || record.state == .online {
          // Where nobody waits for a processor, what had been sent by then is noted by now.
          if isHeldUp(module, agent) || silence(module) <= limits.heartbeatBound { continue }
          if agent.isAttached { missedHeartbeats += 1 }
          suspect(module, agent.isAttached ? .heartbeatMissed : .agentGone)
        }
      } else if record.state == .online {
        await examineUnattached(module)
      }
    }
    await decide()
  }

  /// Whether an agent is silent because the host is overloaded, and not because its module failed: it, or who should read
  /// its beats, is ready to run but has no processor. A cure by isolation would be worse than that, so it is believed for a while.
  private func isHeldUp(_ module: ModuleID, _ agent: Agent) -> Bool {
    guard agent.isAttached, silence(module) < limits.overloadBound, around.waitsForProcessor(agent.process)
    else { return false }
    agents[module]?.heldUpUntil = now + limits.heartbeatBound / 4
    return true
  }

  /// An agent that has not attached since this instance took over: judged at once when its unit does not run.
  private func examineUnattached(_ module: ModuleID) async {
    guard now < graceUntil, isAgentProcessThere(module) else { return suspect(module, .agentGone) }
    guard let status = try? await units.status(UnitNames.agent(module)), agents[module] == nil else { return }
    if status.activeState != .active { suspect(module, .agentNotRunning) }
  }

  /// Whether the process is there that was the agent when the module was last in service.
  func isAgentProcessThere(_ module: ModuleID) -> Bool {
    records[module]?.agentProcess.map { around.processExists($0) } ?? true
  }

  func suspect(_ module: ModuleID, _ cause: FailureCause) {
    guard !isHandingOver, let record = records[module], ModuleTransitions.isUp(record.state), suspects[module] == nil
    else { return }
    suspects[module] = cause
    heartbeats.disturb()
  }

  /// Whether a CPU module can carry on alone, as far as is known.
  func standing(_ module: ModuleID) -> Standing {
    guard records[module]?.state == .online, suspects[module] == nil else { return .dead }
    guard let agent = agents[module] else { return .unknown }
    // Beats that were not looked at in time are for the next look to judge.
    return agent.isAttached ? .alive : agent.absentUntil == nil ? .unknown : .alive
  }

  // MARK: Judging

  /// Decides on the modules that failed, unless it depends on a partner that is still to be heard of.
  func decide() async {
    for module in ModuleID.all(of: .cpu) {
      guard let cause = suspects[module], !isStopped, !isHandingOver else { continue }
      guard let record = records[module], ModuleTransitions.isUp(record.state) else {
        suspects[module] = nil
        continue
      }
      if standing(module.partner) == .unknown { continue }
      await condemn(module, cause)
    }
  }

  /// The module failed: its partner carries on and it is isolated, or, as the last one, it starts again in place.
  private func condemn(_ module: ModuleID, _ cause: FailureCause) async {
    let silence = heartbeats[module].map { max(0, now - $0.last) / 1_000_000 }
    do {
      try await commit { draft throws(RPCError) in
        guard suspects[module] == cause, let record = draft.records[module], ModuleTransitions.isUp(record.state)
        else { return }
        var data: [String: JSONValue] = ["cause": .string(cause.rawValue), "injected": false]
        if let silence { data["silenceMilliseconds"] = .integer(silence) }
        let name = module.rawValue
        let partner = module.partner.rawValue
        let sentence = "\(name) failed: \(cause.words)."
        if standing(module.partner) == .alive {
          draft.follow(module, .failed, reason: "It failed: \(cause.words).", task: .isolate)
          draft.alert(
            .error, "moduleFailed", module,
            "\(sentence) It is isolated, \(partner) carries on, and \(name) returns by itself.", data)
        } else {
          draft.follow(module, .returning, reason: "It failed: \(cause.words).", task: .start)
          draft.alert(
            .critical, "moduleFailed", module,
            "\(sentence) \(partner) is not in service, so that \(name) starts again in place.", data)
        }
        draft.records[module]?.failures += 1
        draft.records[module]?.stays = false
        draft.records[module]?.isForced = false
        draft.records[module]?.incarnation = nil
      }
      suspects[module] = nil
    } catch {
      // The suspicion stays: the next look decides again.
      logger.error("A failure could not be stored", metadata: ["module": "\(module)", "error": "\(error)"])
    }
    kick(module)
  }
}
