/// Every bound of the supervisor. Times are in nanoseconds.
public struct HardwareLimits: Sendable {
  /// Silence of an agent after which its module counts as failed.
  public var heartbeatBound: Int64
  /// Silence after which it does so even where its agent waits for a processor: the module does no work then, either.
  public var overloadBound: Int64
  /// After a takeover: how long a module is not judged whose agent's unit runs but has not attached again.
  public var attachGrace: Int64
  /// How long an agent that was stopped in good order may stay away.
  public var orderlyAbsence: Int64 = 5_000_000_000
  /// How long units may take to run, and an agent to beat, before the module is broken.
  public var start: Int64 = 20_000_000_000
  /// How long killed processes may take to end before callers are told that they did not.
  public var isolation: Int64 = 5_000_000_000
  /// How long units may take to stop in good order before they are killed.
  public var orderlyStop: Int64 = 10_000_000_000
  /// How long a leg may be lost after its module was brought online, before the module is broken.
  public var legReturn: Int64 = 10_000_000_000
  /// Time between an answer and the kill of the slice on which the one who answers runs.
  public var lastWords: Int64 = 10_000_000
  /// Pause between looks at units that start or stop. Each look is some forty calls to the unit manager, which guests that are
  /// restarted at the same time wait for, too.
  public var unitPoll: Int64 = 50_000_000
  /// Pause between starts of a unit that does not stay up.
  public var startRepeat: Int64 = 250_000_000
  /// Pause between looks at a killed slice, and between kills.
  public var emptyPoll: Int64 = 2_000_000
  public var killRepeat: Int64 = 50_000_000
  /// Pause between looks at a leg that catches up, and at legs in service.
  public var syncPoll: Int64 = 150_000_000
  public var legWatch: Int64 = 2_000_000_000
  /// Pause before a repeat of what failed for want of the state, the mark's file or the unit manager.
  public var retry: Int64 = 100_000_000
  /// Most followers at once, and most events that one may leave unread.
  public var followers = 64
  public var followerEvents = 4096

  public init(heartbeatBoundMilliseconds: Int) {
    let bounded = Int64(max(20, min(heartbeatBoundMilliseconds, 60_000)))
    heartbeatBound = bounded * 1_000_000
    overloadBound = max(2_000_000_000, 10 * heartbeatBound)
    attachGrace = max(500_000_000, 5 * heartbeatBound)
  }

  /// What an agent is told: beats so close that one which comes late by more than half of the bound is no failure, and not closer,
  /// because each wakes the supervisor.
  var heartbeatIntervalMilliseconds: Int { Int(max(1, heartbeatBound / 2_500_000)) }
}
