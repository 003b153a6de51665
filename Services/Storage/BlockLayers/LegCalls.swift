import Primitives
import Synchronization

/// Calls on the files of the legs that nobody waits for longer than a bound: a disk that hangs lets a call neither succeed
/// nor fail.
///
/// Such a call costs two threads that wake each other. So what the page cache answers is done by whoever asks: reads of what
/// is in memory (`ByteFile.readWithoutWaiting`), and writes as long as the leg is not *slow*: while a call on it lasts longer
/// than a sixth of the bound. A disk that hangs lets syncs and reads hang before the page cache takes no more writes.
public final class LegCalls: Sendable {
  /// Threads of a leg. One that hangs takes no thread from the other.
  private static let threads = 64

  private struct Lane: Sendable {
    let pool: WorkerPool
    let stuck = StuckCalls()
  }

  /// Time within which a leg must answer.
  public let bound: Duration
  private let io0 = Lane(pool: WorkerPool(name: "ftvs-io0", limit: threads))
  private let io1 = Lane(pool: WorkerPool(name: "ftvs-io1", limit: threads))
  /// Calls that somebody waits for, and has for long.
  private let io0Late = Atomic<Int>(0)
  private let io1Late = Atomic<Int>(0)

  private let callers: (any LegCallers)?

  public init(bound: Duration = .seconds(3)) {
    self.bound = bound
    callers = nil
  }

  /// With others than threads of this object to make the calls.
  init(bound: Duration, callers: any LegCallers) {
    self.bound = bound
    self.callers = callers
  }

  private func lane(_ leg: LegID) -> Lane { leg == .io0 ? io0 : io1 }

  /// Whether calls on a leg that were given up have not ended yet: nothing may be put there that they could change.
  public func areStuck(on leg: LegID) -> Bool { lane(leg).stuck.areThere }

  /// Does something on a leg and waits for it, for at most the bound: then throws `late`.
  public func run<T: Sendable, E: Error>(
    on leg: LegID, orElse late: E, _ body: @escaping @Sendable () throws(E) -> T
  ) throws(E) -> T {
    guard let outcome = outcome(of: begin(on: leg, body), on: leg) else { throw late }
    return try outcome.get()
  }

  /// Whether a leg lets calls wait, so that it is better not to be called without a bound.
  @inline(__always)
  func isSlow(_ leg: LegID) -> Bool {
    leg == .io0 ? io0Late.load(ordering: .relaxed) > 0 : io1Late.load(ordering: .relaxed) > 0
  }

  private func countLate(_ leg: LegID, _ step: Int) {
    if leg == .io0 { io0Late.add(step, ordering: .relaxed) } else { io1Late.add(step, ordering: .relaxed) }
  }

  /// Waits for what was begun on a leg; nil when the bound is over, after which it is given up.
  func outcome<T, E: Error>(of call: BoundedCall<T, E>, on leg: LegID) -> Result<T, E>? {
    _ = hasEnded(call, on: leg)
    return call.outcome(within: .zero)
  }

  /// Waits for what was begun on a leg for no longer than the bound; the leg is slow while that lasts.
  func hasEnded<T, E: Error>(_ call: BoundedCall<T, E>, on leg: LegID) -> Bool {
    callers?.somebodyWaits()
    let patience = bound / 6
    if call.hasEnded(within: patience) { return true }
    countLate(leg, 1)
    defer { countLate(leg, -1) }
    return call.hasEnded(within: bound - patience)
  }

  /// Has a thread of a leg do something, when one is free.
  func hand(_ leg: LegID, _ body: @escaping @Sendable () -> Void) { lane(leg).pool.submit(body) }

  /// Begins something on a leg.
  func begin<T: Sendable, E: Error>(
    on leg: LegID, _ body: @escaping @Sendable () throws(E) -> T
  ) -> BoundedCall<T, E> {
    let lane = lane(leg)
    let call = BoundedCall(stuck: lane.stuck, body)
    if let callers { callers.submit { call.run() } } else { lane.pool.submit { call.run() } }
    return call
  }
}

/// Who makes calls on legs where no threads are to: in simulations that a seed replays.
protocol LegCallers: Sendable {
  /// Takes a call that is to be made at the latest when somebody waits.
  func submit(_ call: @escaping @Sendable () -> Void)

  /// Makes every call that was submitted.
  func somebodyWaits()
}
