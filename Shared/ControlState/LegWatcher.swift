import Glibc
import Primitives
import Synchronization

/// Looks at the shot marks and directories of the legs on a thread of its own, and tells when something differs from
/// what the state expects. The state's own thread is not woken while nothing does.
///
/// While every leg is in service and as expected, the kernel tells when one of them changes, which is looked at at once;
/// looks without that are `quietFactor` intervals apart, for what the kernel does not tell. Else, and where the kernel
/// does not help, there is a look at every interval.
final class LegWatcher: Sendable {
  private let configuration: ControlState.Configuration
  private let published: PublishedLegs
  private let report: @Sendable () -> Void
  /// Readable once the thread is to end.
  private let ending: (read: Int32, write: Int32)

  /// Intervals between two looks while all is well.
  static let quietFactor: Int64 = 10

  init(
    _ configuration: ControlState.Configuration, _ published: PublishedLegs, report: @escaping @Sendable () -> Void
  ) {
    self.configuration = configuration
    self.published = published
    self.report = report
    var ends: [Int32] = [-1, -1]
    if pipe(&ends) != 0 { ends = [-1, -1] }
    for end in ends where end >= 0 { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    ending = (ends[0], ends[1])
  }

  deinit { for end in [ending.read, ending.write] where end >= 0 { close(end) } }

  func start() {
    let thread = SerialThread(name: "ftvs-leg-watch")
    thread.enqueue { [weak self, files = files()] in
      let notices = LegNotices(files)
      var isQuiet = true
      while let watcher = self, watcher.lookAndWait(notices, &isQuiet) {}
    }
    thread.stop()
  }

  func stop() {
    var byte: UInt8 = 0
    _ = write(ending.write, &byte, 1)
  }

  /// What there is to hear of: each leg's database, its directory and the leg itself, and the marks and their directory.
  private func files() -> [(path: String, levels: Int)] {
    configuration.legDirectories.values.map { ("\($0)/\(LegDatabase.fileName)", 3) }
      + configuration.shotMarks.values.map { ($0, 2) }
  }

  /// Looks, then waits until the next look is due. False when the thread is to end.
  ///
  /// `wasQuiet` tells whether nothing was heard before this look, and afterwards before the next.
  private func lookAndWait(_ notices: LegNotices, _ wasQuiet: inout Bool) -> Bool {
    let isHeard = notices.renew()
    let differs = LegID.allCases.contains(where: differs)
    if differs { report() }
    // After a change the next look comes soon: the state may have seen less of it than this one.
    let isQuiet = isHeard && wasQuiet && !differs && published.expectations.values.allSatisfy(\.isOpen)
    let interval = max(1, configuration.watchInterval.milliseconds)
    let ending = notices.wait(
      milliseconds: Int32(clamping: isQuiet ? interval * Self.quietFactor : interval), stop: ending.read,
      hearing: isQuiet)
    wasQuiet = ending == .timedOut
    return ending != .stopped
  }

  private func differs(_ leg: LegID) -> Bool {
    let presence = LegPresence.look(
      directory: configuration.legDirectories[leg], shotMark: configuration.shotMarks[leg])
    switch published.expectations[leg] {
    case .open(let identity):
      if presence.complaint(about: identity) != nil { return true }
      return configuration.legDirectories[leg].map(LegDatabase.reserve)?.isDue ?? false
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

extension PublishedLegs.Expectation {
  fileprivate var isOpen: Bool {
    if case .open = self { return true }
    return false
  }
}
