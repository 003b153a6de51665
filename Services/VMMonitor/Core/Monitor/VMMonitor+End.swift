import Glibc
import Primitives
import RPC
import UnitManager
import VMAPI

/// From a guest that runs to one that is off. Called inside `exclusive`, except where said.
extension VMMonitor {
  /// After a guest's end that was asked for: proves it, gives the disks back, writes it down.
  func finishStop(_ name: VMName, cause: String, at time: Int64? = nil) async throws(RPCError) {
    forgetProcess(name)
    if machines[name]?.record.saved != nil {
      // A start from saved memory that did not come to load it.
      machines[name]?.isUnwanted = false
      return try await leave(name, reason: "\(cause) before its saved memory was loaded")
    }
    try await proveGone(name)
    await releaseDisks(name)
    let undo = undoAfterStop(name)
    try await commit(name, .down(atMilliseconds: time ?? now(), planned: true, cause: cause)) {
      $0.phase = .off
      $0.module = nil
      $0.reason = nil
      $0.stopMilliseconds = nil
      $0.isHeld = false
      $0.failedMilliseconds = nil
      $0.fromModule = nil
      $0.undo = undo
    }
    machines[name]?.isUnwanted = false
    machines[name]?.attempts = 0
    alert(.info, "vmStopped", name, "'\(name)' is off: \(cause).", ["cause": .string(cause)])
    settleUndoLater(name)
  }

  /// Asks a guest to shut down, and has it ended when the time is over.
  func shutDown(_ name: VMName, within seconds: Int) async throws(RPCError) -> VMSummary {
    guard try admits(.shutDown, name) else { return try machine(name).summary }
    let phase = try machine(name).record.phase
    if phase == .starting || phase == .recovering {
      try await finishStop(name, cause: "it was shut down while it started")
      return try self.machine(name).summary
    }
    guard seconds > 0 else {
      try await finishStop(name, cause: "it was ended")
      return try self.machine(name).summary
    }
    let deadline = now() + Int64(seconds) * 1000
    try await commit(name) {
      $0.phase = .stopping
      $0.stopMilliseconds = deadline
    }
    await thawToShutDown(name)
    // A guest that does not answer is ended at the deadline.
    await pressPowerButton(name)
    shutDownByAgent(name, deadline)
    endAtDeadline(name)
    return try self.machine(name).summary
  }

  /// Asks a guest to shut down, for which it has to run.
  func pressPowerButton(_ name: VMName) async {
    guard let machine = machines[name], let instance = machine.instance else { return }
    if machine.record.isHeld || machine.paused != nil { try? await instance.resume() }
    try? await instance.powerDown()
  }

  /// Waits for the deadline of a shutdown in the background.
  func endAtDeadline(_ name: VMName) {
    guard let deadline = machines[name]?.record.stopMilliseconds else { return }
    let wait = max(0, deadline - now())
    Task { [weak self] in
      try? await Task.sleep(for: .milliseconds(wait))
      await self?.deadlineReached(name, deadline)
    }
  }

  private func deadlineReached(_ name: VMName, _ deadline: Int64) async {
    _ = try? await exclusive(name) { monitor async throws(RPCError) in
      guard let record = monitor.machines[name]?.record, record.phase == .stopping, record.stopMilliseconds == deadline
      else { return }
      do {
        try await monitor.finishStop(name, cause: "it did not shut down in time and was ended")
      } catch {
        monitor.retryLater(name)
      }
    }
  }

  /// Ends a guest at once. Not inside `exclusive`: it interrupts a start or a recovery that takes its time.
  func kill(_ name: VMName) async throws(RPCError) -> VMSummary {
    guard try admits(.kill, name) else { return try machine(name).summary }
    let machine = try machine(name)
    machines[name]?.isUnwanted = true
    starts.withdraw(name)
    if let unit = machine.unit { try? await environment.units.kill(unit, signal: SIGKILL) }
    return try await exclusive(name) { monitor async throws(RPCError) in
      monitor.machines[name]?.isUnwanted = false
      guard try monitor.admits(.kill, name) else { return try monitor.machine(name).summary }
      do throws(RPCError) {
        try await monitor.commit(name) {
          $0.phase = .stopping
          $0.stopMilliseconds = monitor.now()
        }
        try await monitor.finishStop(name, cause: "it was killed on demand")
      } catch {
        monitor.retryLater(name)
        throw error
      }
      return try monitor.machine(name).summary
    }
  }
}
