import Primitives
import RPC
import VMAPI

/// What a guest's agent is asked for.
extension VMMonitor {
  /// Asks for what an agent tells about its guest. Not inside `exclusive`: nothing changes, and an agent may be slow.
  func guestInfo(_ name: VMName) async throws(RPCError) -> GuestInfo {
    _ = try admits(.askAgent, name)
    let agent = try await ask(name, "guest-info")
    // Which of these an agent knows depends on its version and on what its administrator forbids.
    let system = try? await ask(name, "guest-get-osinfo")
    let host = try? await ask(name, "guest-get-host-name")
    let interfaces = try? await ask(name, "guest-network-get-interfaces")
    let fileSystems = try? await ask(name, "guest-get-fsinfo")
    return GuestInfo(
      name: name, agentVersion: GuestAnswers.text(agent["version"]) ?? "unknown",
      hostName: GuestAnswers.text(host?["host-name"]), system: GuestAnswers.text(system?["pretty-name"]),
      kernel: GuestAnswers.text(system?["kernel-release"]), interfaces: GuestAnswers.interfaces(interfaces),
      fileSystems: GuestAnswers.fileSystems(fileSystems))
  }

  /// Asks an agent once; its failure as callers see it.
  private func ask(
    _ name: VMName, _ command: String, _ arguments: JSONValue? = nil, within time: Duration? = nil
  ) async throws(RPCError) -> JSONValue {
    guard hasAgent(name) else {
      throw RPCError(
        VMFailure.agentUnavailable,
        "The definition of '\(name)' has no channel to a guest agent. With 'ftctl vm edit \(name)' add to its devices "
          + "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>, and install "
          + "qemu-guest-agent in the guest.",
        data: ["name": .string(name.rawValue)])
    }
    let instance = try connected(name)
    do { return try await instance.askAgent(command, arguments, within: time ?? timing.agentAnswer) } catch {
      let reason =
        switch error {
        case .notAnswering(let text), .refused(let text), .notPrepared(let text): text
        }
      throw RPCError(
        VMFailure.agentUnavailable,
        "The guest of '\(name)' did not do it: \(reason). Is qemu-guest-agent installed and running there?",
        data: ["name": .string(name.rawValue), "command": .string(command)])
    }
  }

  func hasAgent(_ name: VMName) -> Bool { (try? machines[name]?.domain.get())?.devices.hasGuestAgent == true }

  // MARK: Freezing

  /// Brings a guest's file systems to rest. Inside `exclusive`.
  func freeze(_ params: FreezeVM.Params) async throws(RPCError) -> FreezeVM.Result {
    let name = params.name
    _ = try admits(.askAgent, name)
    let patience = Duration.seconds(params.timeoutSeconds ?? 30)
    let count: JSONValue
    if machines[name]?.thawMilliseconds == nil {
      do { count = try await ask(name, "guest-fsfreeze-freeze", within: min(patience, timing.agentFreeze)) } catch {
        // It may have happened although no answer came: an agent that knows the command undoes it.
        _ = try? await ask(name, "guest-fsfreeze-thaw")
        throw error
      }
    } else {
      count = .integer(Int64(machines[name]?.frozenFileSystems ?? 0))
    }
    let deadline = now() + Int64(patience.milliseconds)
    machines[name]?.thawMilliseconds = deadline
    machines[name]?.frozenFileSystems = GuestAnswers.count(count)
    thawAtDeadline(name, deadline)
    return FreezeVM.Result(fileSystems: GuestAnswers.count(count), thawMilliseconds: deadline)
  }

  /// Lets a guest's file systems go on. Inside `exclusive`.
  func thaw(_ name: VMName) async throws(RPCError) -> ThawVM.Result {
    _ = try admits(.askAgent, name)
    let count = try await ask(name, "guest-fsfreeze-thaw")
    machines[name]?.thawMilliseconds = nil
    return ThawVM.Result(fileSystems: GuestAnswers.count(count))
  }

  /// Thaws a guest that is to shut down, which it could not with file systems that are frozen.
  func thawToShutDown(_ name: VMName) async {
    guard machines[name]?.thawMilliseconds != nil else { return }
    machines[name]?.thawMilliseconds = nil
    _ = try? await ask(name, "guest-fsfreeze-thaw")
  }

  /// Thaws a guest in the background when its time is over, and tries again while it does not answer: it may be paused.
  private func thawAtDeadline(_ name: VMName, _ deadline: Int64) {
    let first = max(0, deadline - now())
    Task { [weak self, pause = timing.agentAnswer] in
      var wait = Duration.milliseconds(first)
      var attempt = 0
      while true {
        try? await Task.sleep(for: wait)
        guard let self, await self.isFrozen(name, until: deadline) else { return }
        await self.thawLate(name, deadline, attempt)
        wait = pause
        attempt += 1
      }
    }
  }

  private func isFrozen(_ name: VMName, until deadline: Int64) -> Bool {
    machines[name]?.thawMilliseconds == deadline && machines[name]?.instance != nil
  }

  private func thawLate(_ name: VMName, _ deadline: Int64, _ attempt: Int) async {
    let isThawed = (try? await ask(name, "guest-fsfreeze-thaw")) != nil
    guard isFrozen(name, until: deadline) else { return }
    guard isThawed else {
      // One that stands still does not answer, and misses nothing.
      guard attempt == 1, machines[name]?.state == .running else { return }
      return alert(
        .error, "vmThawFailed", name,
        "The file systems of '\(name)' are frozen longer than was asked for, and its guest agent does not answer: what "
          + "writes there hangs. It is asked again and again; 'ftctl vm reset \(name)' restarts the guest.")
    }
    machines[name]?.thawMilliseconds = nil
    alert(
      .warning, "vmThawedLate", name,
      "The file systems of '\(name)' were frozen longer than was asked for, and let go: whoever took a snapshot meanwhile "
        + "may have got a part of it later than that.")
  }

  /// Thaws a guest that somebody froze through a monitor that is no more, or before its memory was saved. In the background.
  func thawIfForgotten(_ name: VMName) {
    guard hasAgent(name) else { return }
    Task { [weak self] in
      guard let self, await self.isForgotten(name) else { return }
      await self.thawForgotten(name)
    }
  }

  private func isForgotten(_ name: VMName) async -> Bool {
    guard machines[name]?.thawMilliseconds == nil else { return false }
    return (try? await ask(name, "guest-fsfreeze-status"))?.string == "frozen"
      && machines[name]?.thawMilliseconds == nil
  }

  private func thawForgotten(_ name: VMName) async {
    guard (try? await ask(name, "guest-fsfreeze-thaw")) != nil else { return }
    alert(
      .warning, "vmThawedLate", name,
      "The file systems of '\(name)' were frozen by somebody who could not thaw them any more, and were let go.")
  }

  // MARK: Time, shutdown

  /// Gives a guest the time that went by while it stood still. In the background; a guest that has no agent, or a time
  /// service of its own, finds out by itself.
  func setGuestClock(_ name: VMName) {
    guard hasAgent(name) else { return }
    Task { [weak self] in
      guard let self else { return }
      let nanoseconds = await self.now() * 1_000_000
      _ = try? await self.ask(name, "guest-set-time", ["time": .integer(nanoseconds)])
    }
  }

  /// Asks the agent of a guest that did not take its power button for an order, while it still is to stop.
  func shutDownByAgent(_ name: VMName, _ deadline: Int64) {
    guard hasAgent(name) else { return }
    Task { [weak self, wait = timing.agentShutdown] in
      try? await Task.sleep(for: wait)
      guard let self, await self.isStopping(name, deadline) else { return }
      // A success has no answer.
      _ = try? await self.ask(name, "guest-shutdown", ["mode": "powerdown"])
    }
  }

  private func isStopping(_ name: VMName, _ deadline: Int64) -> Bool {
    machines[name]?.record.phase == .stopping && machines[name]?.record.stopMilliseconds == deadline
      && machines[name]?.hasShutDown == false
  }
}
