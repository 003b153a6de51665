import Synchronization

/// Something that another thread does and that nobody waits for longer than a bound.
///
/// The kernel lets nobody call a blocked call off. So a call that took too long is given up and goes on by itself; until it
/// has ended it is counted as stuck, because it may still change what it was meant to.
///
/// Unchecked: `outcome` and `isGivenUp` are touched only with `monitor` held, and `body` is called once. Who waits does not
/// touch what the body uses meanwhile, nor afterwards when he gave it up.
public final class BoundedCall<T, Failure: Error>: @unchecked Sendable {
  private let body: () throws(Failure) -> T
  private let stuck: StuckCalls
  private let monitor = Monitor()
  private var outcome: Result<T, Failure>?
  private var isGivenUp = false

  /// - Parameters:
  ///   - stuck: counts this call from when it is given up until it has ended.
  ///   - body: what is done; the caller leaves what it uses to it.
  public init(stuck: StuckCalls, _ body: @escaping () throws(Failure) -> T) {
    self.stuck = stuck
    self.body = body
  }

  /// Does it, on the thread that calls this; nothing when it was given up before its turn came.
  public func run() {
    let result = monitor.locked { isGivenUp } ? nil : Result { () throws(Failure) in try body() }
    let wasGivenUp = monitor.locked {
      if !isGivenUp { outcome = result }
      monitor.wakeAll()
      return isGivenUp
    }
    if wasGivenUp { stuck.change(by: -1) }
  }

  /// Waits for the outcome for a while. False when there is none yet; who wants it goes on waiting with `outcome`.
  public func hasEnded(within span: Duration) -> Bool {
    monitor.locked {
      let end = Monitor.time(in: span)
      while outcome == nil, monitor.wait(until: end) {}
      return outcome != nil
    }
  }

  /// Waits for the outcome; nil when the bound is over, after which the call is given up.
  public func outcome(within bound: Duration) -> Result<T, Failure>? {
    monitor.locked {
      let end = Monitor.time(in: bound)
      while outcome == nil, monitor.wait(until: end) {}
      if outcome == nil {
        isGivenUp = true
        stuck.change(by: 1)
      }
      return outcome
    }
  }
}

/// How many calls were given up and have not ended.
public final class StuckCalls: Sendable {
  private let count = Mutex(0)

  public init() {}

  /// Whether there are any.
  public var areThere: Bool { count.withLock { $0 > 0 } }

  fileprivate func change(by step: Int) { count.withLock { $0 += step } }
}
