import Dispatch
import Primitives
import Synchronization

/// A leg did not answer within the bound.
struct LegStall: Error, Sendable, CustomStringConvertible {
  let leg: LegID
  let bound: Duration

  var description: String { "it did not answer within \(bound.milliseconds) ms" }
}

/// The thread on which everything that touches a leg is done: a disk that hangs holds up this thread, and nobody else for
/// longer than the bound.
///
/// The kernel lets nobody call a blocked call off. So a call that took too long is given up, and goes on by itself: until
/// it has ended the leg is *stuck*, and whatever else is wanted of it fails at once.
final class LegThread: Sendable {
  let leg: LegID
  let bound: Duration
  private let thread: SerialThread
  private let givenUp = Mutex(0)

  init(_ leg: LegID, bound: Duration) {
    self.leg = leg
    self.bound = bound
    thread = SerialThread(name: "ftvs-leg-\(leg.rawValue)")
  }

  /// Whether a call that was given up has not ended yet.
  var isStuck: Bool { givenUp.withLock { $0 > 0 } }

  /// Does something on the thread and waits for it.
  ///
  /// Throws `LegStall` when that takes too long; what `body` uses is the thread's alone from then on. Must not be called
  /// on the thread itself.
  func run<T>(_ body: @escaping () throws -> T) throws -> T { try begin(body).value() }

  /// Begins something on the thread. What it gives is waited for in `Pending.value()`.
  func begin<T>(_ body: @escaping () throws -> T) -> Pending<T> {
    let pending = Pending<T>(thread: self)
    if isStuck { return pending }
    let work = Handed(body: body)
    pending.hasBegun = thread.enqueue { [self] in
      // One that was given up before its turn came must not touch the leg any more.
      let result = pending.isGivenUp ? nil : Result(catching: work.body)
      if pending.finish(result) { givenUp.withLock { $0 -= 1 } }
    }
    return pending
  }

  /// Does something after all that was begun, and waits for nobody.
  func afterwards(_ body: @escaping () throws -> Void) {
    let work = Handed(body: body)
    thread.enqueue { try? work.body() }
  }

  /// Lets the thread end after all that was begun.
  func end() { thread.stop() }

  fileprivate func noteGivenUp() { givenUp.withLock { $0 += 1 } }

  /// Unchecked: handed to the thread whole. Who gave it waits and does not touch what it uses, or gave it up.
  private struct Handed<T>: @unchecked Sendable {
    let body: () throws -> T
  }

  /// Something that was begun on the thread.
  ///
  /// Unchecked: `outcome` and `wasGivenUp` are touched only with `lock` held; `hasBegun` is set by the
  /// one who gets the object, before he does.
  final class Pending<T>: @unchecked Sendable {
    private let thread: LegThread
    private let lock = Mutex(())
    private let done = DispatchSemaphore(value: 0)
    private var outcome: Result<T, any Error>?
    private var wasGivenUp = false
    fileprivate var hasBegun = false

    fileprivate init(thread: LegThread) { self.thread = thread }

    fileprivate var isGivenUp: Bool { lock.withLock { _ in wasGivenUp } }

    /// Notes the result. True when nobody waits for it any more.
    fileprivate func finish(_ result: Result<T, any Error>?) -> Bool {
      let nobodyWaits = lock.withLock { _ in
        if !wasGivenUp { outcome = result }
        return wasGivenUp
      }
      done.signal()
      return nobodyWaits
    }

    /// Waits for the result, until the bound after this call.
    func value() throws -> T {
      let stall = LegStall(leg: thread.leg, bound: thread.bound)
      guard hasBegun else { throw stall }
      let bound = Int(clamping: thread.bound.milliseconds)
      _ = done.wait(timeout: .now() + .milliseconds(bound))
      let outcome = lock.withLock { _ in
        if self.outcome == nil {
          wasGivenUp = true
          thread.noteGivenUp()
        }
        return self.outcome
      }
      guard let outcome else { throw stall }
      return try outcome.get()
    }
  }
}
