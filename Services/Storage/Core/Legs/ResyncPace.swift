import Glibc
import Primitives
import Synchronization

/// How fast legs are copied and compared: guests come first.
///
/// The rule: after each piece it is looked whether guests asked for anything since the one before, or wait for an answer.
/// If they do not, the next piece follows at once. If they do, there is a pause of `busyPauses` times what the piece
/// took, so that the disks are theirs most of the time; but no longer than `slowestCopyRate` allows, so that a leg comes
/// into step also while guests never rest.
final class ResyncPace: Sendable {
  /// What guests did so far.
  struct Activity: Sendable, Equatable {
    /// Requests that were begun; a wrap around does no harm.
    var begun: UInt64 = 0
    /// Requests that are not answered yet.
    var inFlight = 0
  }

  private struct State {
    var last: Activity?
    var paused: Duration = .zero
  }

  private let activity: @Sendable () -> Activity
  private let state = Mutex(State())

  init(activity: @escaping @Sendable () -> Activity) { self.activity = activity }

  /// Time spent in pauses so far.
  var paused: Duration { state.withLock { $0.paused } }

  /// One copy or comparison of a file: the time of each piece is counted from the end of the pause before.
  ///
  /// - Parameter start: bytes that were done before.
  func run(from start: Int64 = 0, _ pause: @escaping (Duration) -> Void = ResyncPace.sleep) -> PacedRun {
    PacedRun(self, from: start, pause)
  }

  /// How long to pause after a piece.
  static func pause(afterPieceOf bytes: Int64, taking time: Duration, areGuestsBusy: Bool) -> Duration {
    guard areGuestsBusy else { return .zero }
    let longest = Duration.seconds(Double(bytes) / Double(StorageLimits.slowestCopyRate)) - time
    return max(.zero, min(time * StorageLimits.busyPauses, longest))
  }

  /// Whether guests did anything since the last call.
  func areGuestsBusy() -> Bool {
    let now = activity()
    return state.withLock { state in
      defer { state.last = now }
      return now.inFlight > 0 || (state.last != nil && state.last?.begun != now.begun)
    }
  }

  func note(_ pause: Duration) { state.withLock { $0.paused += pause } }

  /// Sleeps on a thread that may block.
  static func sleep(_ time: Duration) {
    let (seconds, attoseconds) = time.components
    let span = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    // A signal makes it shorter, which does no harm.
    withUnsafePointer(to: span) { _ = nanosleep($0, nil) }
  }
}

/// The pieces of one file, one after the other on one thread.
struct PacedRun {
  private let pace: ResyncPace
  private let pause: (Duration) -> Void
  private var done: Int64
  private var began = ContinuousClock.now

  init(_ pace: ResyncPace, from start: Int64, _ pause: @escaping (Duration) -> Void) {
    self.pace = pace
    done = start
    self.pause = pause
  }

  /// Pauses after a piece, as the rule has it.
  ///
  /// - Parameter done: bytes done since the beginning.
  mutating func paced(_ done: Int64) {
    let time = ResyncPace.pause(
      afterPieceOf: done - self.done, taking: began.duration(to: .now), areGuestsBusy: pace.areGuestsBusy())
    self.done = done
    if time > .zero {
      pace.note(time)
      pause(time)
    }
    began = .now
  }
}
