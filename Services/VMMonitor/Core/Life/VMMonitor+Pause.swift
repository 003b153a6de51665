import Primitives
import RPC
import VMAPI

/// A guest that stands still on demand. Called inside `exclusive`.
///
/// That it is held is in the record before its processors are stopped, and no longer there before they run again: whoever
/// takes over does what the record says, and nobody else lets a held guest go on.
extension VMMonitor {
  func pause(_ name: VMName) async throws(RPCError) -> VMSummary {
    guard try admits(.pause, name), try !machine(name).record.isHeld else { return try machine(name).summary }
    let cause = "it was paused on demand"
    try await commit(name, .down(atMilliseconds: now(), planned: true, cause: cause)) { $0.isHeld = true }
    do throws(RPCError) {
      try await withInstance(name) { instance async throws(EngineError) in try await instance.pause() }
    } catch {
      // It may stand still although the answer was lost; then it goes on, as its record says.
      try? await commit(name, .up(atMilliseconds: now())) { $0.isHeld = false }
      try? await machines[name]?.instance?.resume()
      throw error
    }
    alert(.info, "vmHeld", name, "'\(name)' was paused on demand. Let it go on with 'ftctl vm resume \(name)'.")
    return try machine(name).summary
  }

  /// Lets a guest go on that is held, or that its engine stopped.
  func letGoOn(_ name: VMName) async throws(RPCError) -> VMSummary {
    guard try admits(.resume, name) else { return try machine(name).summary }
    let wasHeld = try machine(name).record.isHeld
    if wasHeld {
      try await commit(name, .up(atMilliseconds: now())) {
        $0.isHeld = false
        $0.reason = nil
      }
    }
    try await withInstance(name) { instance async throws(EngineError) in try await instance.resume() }
    note(name) { $0.paused = nil }
    setGuestClock(name)
    if wasHeld { alert(.info, "vmResumed", name, "'\(name)' goes on: it was resumed on demand.") }
    return try machine(name).summary
  }

  /// Has a guest's engine do something; its failure as callers see it.
  func withInstance<T: Sendable>(
    _ name: VMName, _ body: (any VMInstance) async throws(EngineError) -> T
  ) async throws(RPCError) -> T {
    let instance = try connected(name)
    do { return try await body(instance) } catch { throw RPCError(error, name) }
  }

  /// A guest's connection, or an error where it has none just now.
  @discardableResult func connected(_ name: VMName) throws(RPCError) -> any VMInstance {
    guard let instance = try machine(name).instance else {
      throw RPCError(
        VMFailure.engineFailed, "The process of '\(name)' is not connected at this moment; try again.",
        data: ["name": .string(name.rawValue)])
    }
    return instance
  }
}
