import Primitives

/// A leg did not answer within the bound.
struct LegStall: Error, Sendable, CustomStringConvertible {
  let leg: LegID
  let bound: Duration

  var description: String { "it did not answer within \(bound.milliseconds) ms" }
}

/// The thread on which everything that touches a leg is done: a disk that hangs holds up this thread, and nobody else for
/// longer than the bound. While a call that took too long has not ended, whatever else is wanted of the leg fails at once.
final class LegThread: Sendable {
  let leg: LegID
  let bound: Duration
  private let thread: SerialThread
  private let stuck = StuckCalls()

  init(_ leg: LegID, bound: Duration) {
    self.leg = leg
    self.bound = bound
    thread = SerialThread(name: "ftvs-leg-\(leg.rawValue)")
  }

  /// Whether a call that was given up has not ended yet.
  var isStuck: Bool { stuck.areThere }

  /// Does something on the thread and waits for it.
  ///
  /// Throws `LegStall` when that takes too long; what `body` uses is the thread's alone from then on. Must not be called
  /// on the thread itself.
  func run<T>(_ body: @escaping () throws -> T) throws -> T { try begin(body).value() }

  /// Begins something on the thread. What it gives is waited for in `Pending.value()`.
  func begin<T>(_ body: @escaping () throws -> T) -> Pending<T> {
    let call = BoundedCall(stuck: stuck, body)
    let hasBegun = !isStuck && thread.enqueue { call.run() }
    return Pending(call: hasBegun ? call : nil, stall: LegStall(leg: leg, bound: bound))
  }

  /// Does something after all that was begun, and waits for nobody.
  func afterwards(_ body: @escaping () throws -> Void) {
    let call = BoundedCall(stuck: stuck, body)
    thread.enqueue { call.run() }
  }

  /// Lets the thread end after all that was begun.
  func end() { thread.stop() }

  /// Something that was begun on the thread.
  struct Pending<T> {
    fileprivate let call: BoundedCall<T, any Error>?
    fileprivate let stall: LegStall

    /// Waits for the result, until the bound after this call.
    func value() throws -> T {
      guard let outcome = call?.outcome(within: stall.bound) else { throw stall }
      return try outcome.get()
    }
  }
}
