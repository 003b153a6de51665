import Primitives

/// Calls on the files of the legs that nobody waits for longer than a bound: a disk that hangs lets a call neither succeed
/// nor fail.
public final class LegCalls: Sendable {
  /// Threads of a leg. One that hangs takes no thread from the other.
  private static let threads = 16

  private struct Lane: Sendable {
    let pool: WorkerPool
    let stuck = StuckCalls()
  }

  /// Time within which a leg must answer.
  public let bound: Duration
  private let io0 = Lane(pool: WorkerPool(name: "ftvs-io0", limit: threads))
  private let io1 = Lane(pool: WorkerPool(name: "ftvs-io1", limit: threads))

  public init(bound: Duration = .seconds(3)) { self.bound = bound }

  private func lane(_ leg: LegID) -> Lane { leg == .io0 ? io0 : io1 }

  /// Whether calls on a leg that were given up have not ended yet: nothing may be put there that they could change.
  public func areStuck(on leg: LegID) -> Bool { lane(leg).stuck.areThere }

  /// Does something on a leg and waits for it, for at most the bound: then throws `late`.
  public func run<T: Sendable, E: Error>(
    on leg: LegID, orElse late: E, _ body: @escaping @Sendable () throws(E) -> T
  ) throws(E) -> T {
    guard let outcome = begin(on: leg, body).outcome(within: bound) else { throw late }
    return try outcome.get()
  }

  /// Begins something on a leg.
  func begin<T: Sendable, E: Error>(
    on leg: LegID, _ body: @escaping @Sendable () throws(E) -> T
  ) -> BoundedCall<T, E> {
    let lane = lane(leg)
    let call = BoundedCall(stuck: lane.stuck, body)
    lane.pool.submit { call.run() }
    return call
  }
}
