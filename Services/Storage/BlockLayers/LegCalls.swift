import Glibc
import Primitives

/// Calls on the files of the legs that nobody waits for longer than a bound: a disk that hangs lets a call neither succeed
/// nor fail.
///
/// The kernel lets nobody call a blocked call off. So one that took too long is given up and goes on by itself; as long as
/// such calls are *stuck* nothing may be put on that leg that they could change.
public final class LegCalls: Sendable {
  /// Threads of a leg. One that hangs takes no thread from the other.
  private static let threads = 16

  /// Time within which a leg must answer.
  public let bound: Duration
  private let io0 = WorkerPool(name: "ftvs-io0", limit: threads)
  private let io1 = WorkerPool(name: "ftvs-io1", limit: threads)
  private let stuck = StuckCalls()

  public init(bound: Duration = .seconds(3)) { self.bound = bound }

  /// Whether calls on a leg that were given up have not ended yet.
  public func areStuck(on leg: LegID) -> Bool { stuck.count(on: leg) > 0 }

  /// Does something on a leg and waits for it, for at most the bound: then throws `late`.
  public func run<T: Sendable, E: Error>(
    on leg: LegID, orElse late: E, _ body: @escaping @Sendable () throws(E) -> T
  ) throws(E) -> T {
    try begin(on: leg, body).value(orElse: late)
  }

  /// Begins something on a leg.
  func begin<T: Sendable, E: Error>(
    on leg: LegID, _ body: @escaping @Sendable () throws(E) -> T
  ) -> LegCall<T, E> {
    let call = LegCall(leg, bound, stuck, body)
    (leg == .io0 ? io0 : io1).submit { call.run() }
    return call
  }
}

/// How many calls on each leg were given up and have not ended.
final class StuckCalls: @unchecked Sendable {
  // `counts` is touched only with `monitor` held.
  private let monitor = Monitor()
  private var counts: [LegID: Int] = [:]

  func count(on leg: LegID) -> Int { monitor.locked { counts[leg, default: 0] } }
  func change(_ leg: LegID, by step: Int) { monitor.locked { counts[leg, default: 0] += step } }
}

/// A call that was begun on a leg.
final class LegCall<T: Sendable, E: Error>: @unchecked Sendable {
  // `outcome` and `isGivenUp` are touched only with `monitor` held.
  private let leg: LegID
  private let bound: Duration
  private let stuck: StuckCalls
  private let body: @Sendable () throws(E) -> T
  private let monitor = Monitor()
  private var outcome: Result<T, E>?
  private var isGivenUp = false

  init(_ leg: LegID, _ bound: Duration, _ stuck: StuckCalls, _ body: @escaping @Sendable () throws(E) -> T) {
    self.leg = leg
    self.bound = bound
    self.stuck = stuck
    self.body = body
  }

  /// Called on a thread of the leg's.
  func run() {
    // One that was given up before its turn came must not touch the leg any more.
    let result = monitor.locked { isGivenUp } ? nil : Result { () throws(E) in try body() }
    let wasGivenUp = monitor.locked {
      outcome = result
      monitor.wakeAll()
      return isGivenUp
    }
    if wasGivenUp { stuck.change(leg, by: -1) }
  }

  func value(orElse late: E) throws(E) -> T {
    let result = monitor.locked {
      let end = Monitor.time(in: bound)
      while outcome == nil, monitor.wait(until: end) {}
      if outcome == nil {
        isGivenUp = true
        stuck.change(leg, by: 1)
      }
      return outcome
    }
    guard let result else { throw late }
    return try result.get()
  }
}
