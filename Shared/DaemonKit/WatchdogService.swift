import ControlState
import Logging
import ServiceLifecycle
import Synchronization
import Systemd

/// Tells the service manager that this process lives: only after the path that serves requests has advanced.
///
/// Active, a request goes through the event loop, a session and a task, and a read through the state's thread. Standby, the
/// cooperative pool is all there is. A process that hangs anywhere there is killed, and its lease is free.
struct WatchdogService: Service {
  let instance: Instance
  let notifier: Notifier
  let logger: Logger
  private let probe: StateProbe

  /// - Parameter legAnswerBound: how long the state's thread may wait for a leg, twice at a time.
  init(instance: Instance, notifier: Notifier, logger: Logger, legAnswerBound: Duration) {
    self.instance = instance
    self.notifier = notifier
    self.logger = logger
    probe = StateProbe(limit: DaemonLimits.stateStallTime + legAnswerBound * 2)
  }

  func run() async throws {
    guard let interval = notifier.watchdogInterval else { return try await gracefulShutdown() }
    await cancelWhenGracefulShutdown {
      while !Task.isCancelled {
        if await isAdvancing() {
          notifier.send(.watchdog)
        } else {
          logger.error("The path that serves requests does not advance; the watchdog is not told.")
        }
        // Also where an advance takes all the time that it may, the manager is told within its interval.
        try? await Task.sleep(for: interval / 3)
      }
    }
  }

  /// Whether the path advances, now.
  func isAdvancing() async -> Bool {
    guard case .active = instance.phase else { return await Task { true }.value }
    guard let server = instance.server, let control = instance.control else { return false }
    guard await server.ping(timeout: DaemonLimits.pingTime) else { return isLeaving }
    return probe.isAdvancing(control)
  }

  /// A server that drains answers no ping, and need not.
  private var isLeaving: Bool {
    if case .active = instance.phase { return false }
    return true
  }
}

/// Whether the thread of a service's state gets on: a read goes through it again and again.
private final class StateProbe: Sendable {
  private let limit: Duration
  private let begun = Mutex<ContinuousClock.Instant?>(nil)

  init(limit: Duration) { self.limit = limit }

  /// Starts a read where none is under way; false when the one that is takes too long.
  func isAdvancing(_ control: ControlState) -> Bool {
    let now = ContinuousClock.now
    let before = begun.withLock { begun in
      defer { begun = begun ?? now }
      return begun
    }
    if let before { return now - before < limit }
    Task {
      // An error is an answer, too: that legs are lost is not cured by a kill.
      try? await control.read { _ in }
      begun.withLock { $0 = nil }
    }
    return true
  }
}
