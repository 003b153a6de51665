import Primitives
import Synchronization

/// When the agents that are attached were last heard.
///
/// A beat is noted by the thread that read it, which waits neither for the supervisor's turn nor for another thread: there are
/// dozens a second, and one that is noted late would look like silence. Times are in nanoseconds of the monotonic clock.
final class Heartbeats: Sendable {
  struct Heard: Sendable {
    /// Of the agent whose beats count.
    let incarnation: GenerationID
    /// The last beat, or the begin.
    var last: Int64
    /// Beats since it attached.
    var count = 0
    var isAttached = true
  }

  private let heard = Mutex<[ModuleID: Heard]>([:])
  /// Whether, for all that the supervisor knows, only silence can give it reason to look at the agents.
  private let isCalm = Atomic(false)

  /// What was heard of a module's agent, also of one that is no longer attached.
  subscript(_ module: ModuleID) -> Heard? { heard.withLock { $0[module] } }

  /// An agent attached: from now on its beats count, and no other's.
  func begin(_ module: ModuleID, _ incarnation: GenerationID, at now: Int64) {
    heard.withLock { $0[module] = Heard(incarnation: incarnation, last: now) }
  }

  /// The agent's connection ended: it is not heard any more.
  func end(_ module: ModuleID) { heard.withLock { $0[module]?.isAttached = false } }

  /// Notes a beat; one of an agent that is not attached says nothing, and is answered with false.
  func note(_ module: ModuleID, _ incarnation: GenerationID, at now: Int64) -> Bool {
    heard.withLock { heard in
      guard let agent = heard[module], agent.isAttached, agent.incarnation == incarnation else { return false }
      heard[module]?.last = max(agent.last, now)
      heard[module]?.count += 1
      return true
    }
  }

  // MARK: Looking

  /// The supervisor waits for silence only, until the next `disturb`.
  func becomeCalm() { isCalm.store(true, ordering: .sequentiallyConsistent) }

  /// Something is to be looked at that is not silence.
  func disturb() { isCalm.store(false, ordering: .sequentiallyConsistent) }

  /// How long it takes at least until there is reason to look at the agents; 0 where there is one.
  func calm(bound: Int64, at now: Int64) -> Int64 {
    guard isCalm.load(ordering: .sequentiallyConsistent) else { return 0 }
    return heard.withLock { heard in
      let first = heard.values.filter(\.isAttached).map(\.last).min()
      return first.map { max(0, $0 + bound - now) } ?? 0
    }
  }

  /// Does not count a time in which the beats could not be read.
  func excuse(_ late: Int64, until now: Int64) {
    heard.withLock { heard in
      for (module, agent) in heard { heard[module]?.last = min(now, agent.last + late) }
    }
  }
}
