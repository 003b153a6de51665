import HostConfiguration
import Primitives
import RPC
import VMAPI

/// When a guest counts as one that keeps failing: a mean time between failures below a bound.
///
/// Only failures of its own count, not those of a module, and starts that fail are tried again for ever: their causes are
/// the host's, and pass.
public struct QuarantinePolicy: Sendable, Equatable {
  /// So many failures within `window` are too many; 0: never.
  public var failures = 6
  public var window = Duration.seconds(180)

  public init() {}

  /// As the host's configuration says.
  public init(_ configuration: HostConfiguration) {
    if let failures = configuration.quarantineFailures { self.failures = failures }
    if let seconds = configuration.quarantineWindowSeconds { window = .seconds(seconds) }
  }

  /// The failures that still count, with a new one, the oldest first. Times in milliseconds since 1970.
  func counted(_ earlier: [Int64], at time: Int64) -> [Int64] {
    let begin = time - Int64(window.milliseconds)
    // A clock that was set back must not keep old failures for ever.
    return Array((earlier.filter { $0 > begin && $0 <= time } + [time]).suffix(max(1, failures)))
  }

  func isExceeded(by counted: [Int64]) -> Bool { failures > 0 && counted.count >= failures }
}

/// Called inside `exclusive`.
extension VMMonitor {
  /// Notes a guest's own failure.
  ///
  /// - Returns: whether it failed too often, and is in quarantine now or will be.
  func quarantined(_ name: VMName, _ ending: Ending, _ change: LedgerChange?) async -> Bool {
    guard !ending.isModuleLost, let earlier = machines[name]?.record.failures else { return false }
    let failures = timing.quarantine.counted(earlier, at: ending.time)
    guard timing.quarantine.isExceeded(by: failures) else {
      // Written down by what follows.
      let module = machines[name]?.record.module
      machines[name]?.record.failures = failures
      machines[name]?.lastFailure = module.map { ($0, ending.time) }
      return false
    }
    let seconds = timing.quarantine.window.components.seconds
    let reason =
      "it failed \(failures.count) times within \(seconds) seconds, the last time because \(ending.cause). Look at its "
      + "console (ftctl vm console \(name)) and its alerts; then 'ftctl vm release \(name)' and start it"
    do {
      try await proveGone(name)
      await releaseDisks(name)
      try await commit(name, change) {
        $0.phase = .quarantined
        $0.failures = failures
        $0.reason = reason
        $0.module = nil
        $0.isHeld = false
      }
    } catch {
      retryLater(name)
      return true
    }
    machines[name]?.attempts = 0
    alert(
      .critical, "vmQuarantined", name, "'\(name)' is no longer restarted: \(reason).",
      ["failures": .integer(Int64(failures.count)), "windowSeconds": .integer(seconds)])
    return true
  }

  /// A module turned out to be lost: what failed there a moment ago did not fail by itself. A guest's end is often noticed
  /// before its module's.
  func excuse(_ module: ModuleID) {
    for machine in machines.values {
      guard let (failed, time) = machine.lastFailure, failed == module, now() - time < Self.excusedMilliseconds else {
        continue
      }
      machines[machine.name]?.lastFailure = nil
      // Written down with the machine's next change.
      machines[machine.name]?.record.failures.removeAll { $0 == time }
    }
  }

  /// How long after a guest's end that of its module may be noticed.
  private static let excusedMilliseconds: Int64 = 60_000

  func release(_ name: VMName) async throws(RPCError) -> VMSummary {
    guard try admits(.release, name) else { return try machine(name).summary }
    try await commit(name) {
      $0.phase = .off
      $0.failures = []
      $0.reason = nil
    }
    alert(.info, "vmReleased", name, "'\(name)' was released from quarantine; its failures are forgotten.")
    return try machine(name).summary
  }
}
