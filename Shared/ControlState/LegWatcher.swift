import Dispatch
import Primitives
import Synchronization

/// Looks at the shot marks and directories of the legs on a thread of its own, and tells when something differs from
/// what the state expects. The state's own thread is not woken while nothing does.
///
/// It polls: closing an inotify(7) descriptor takes the kernel some 15 ms, and a process that is killed gives up its lease
/// only after that.
final class LegWatcher: Sendable {
  private let configuration: ControlState.Configuration
  private let published: PublishedLegs
  private let report: @Sendable () -> Void
  private let isStopped = Mutex(false)
  private let wake = DispatchSemaphore(value: 0)

  init(
    _ configuration: ControlState.Configuration, _ published: PublishedLegs, report: @escaping @Sendable () -> Void
  ) {
    self.configuration = configuration
    self.published = published
    self.report = report
  }

  func start() {
    let thread = SerialThread(name: "ftvs-leg-watch")
    thread.enqueue { [weak self] in
      while let watcher = self, watcher.waitAndLook() {}
    }
    thread.stop()
  }

  func stop() {
    isStopped.withLock { $0 = true }
    wake.signal()
  }

  private func waitAndLook() -> Bool {
    let interval = Int(clamping: max(1, configuration.watchInterval.milliseconds))
    _ = wake.wait(timeout: .now() + .milliseconds(interval))
    if isStopped.withLock({ $0 }) { return false }
    if LegID.allCases.contains(where: differs) { report() }
    return true
  }

  private func differs(_ leg: LegID) -> Bool {
    let presence = LegPresence.look(
      directory: configuration.directory(of: leg), shotMark: configuration.shotMarks[leg])
    switch published.expectations[leg] {
    case .open(let identity):
      if presence.complaint(about: identity) != nil { return true }
      return configuration.directory(of: leg).map(LegDatabase.reserve)?.isDue ?? false
    case .away(let retryAt):
      if case .present = presence {
        return retryAt <= monotonicMilliseconds() && published.status(leg)?.state != .resyncing
      }
      return false
    case .refused(let identity): return presence != .present(identity)
    case nil: return false
    }
  }
}
