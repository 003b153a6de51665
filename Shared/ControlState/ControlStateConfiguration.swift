import Glibc
import Primitives

extension ControlState {
  /// Where a service's state is kept, and how.
  public struct Configuration: Sendable {
    /// The service whose state it is.
    public var service: ServiceName
    /// Directory of the service on each leg: `LEG/SERVICE`. It is made when `LEG` is there.
    public var legDirectories: [LegID: String]
    /// File outside the legs that tells which generation was last in service.
    public var witness: String
    /// Files that mean, while they exist, that a leg must not be touched.
    public var shotMarks: [LegID: String]
    /// The same directories by each leg's second path; left out where that is the same.
    public var secondDirectories: [LegID: String] = [:]
    /// Files that mean, while they exist, that a path to a leg is cut: of the first, and of the second.
    public var pathMarks: [LegID: [String]] = [:]
    /// SQL scripts that bring the schema up, applied in order and once each. Only append to them.
    public var migrations: [String]
    /// The leg that is taken as right whatever the records say; gives up what only the other holds.
    public var force: LegID?
    /// Copies what the service keeps beside its database to a leg that comes back, before that counts as in step. Told
    /// how much is done and how much there is, in bytes.
    public var resyncData:
      (
        @Sendable (_ to: LegID, _ progress: @escaping @Sendable (Int64, Int64) -> Void) async throws -> Void
      )?
    /// Milliseconds since 1970.
    public var now: @Sendable () -> Int64
    /// Time within which a leg must answer: one that does not is dropped, like one that answers with an error.
    public var legAnswerBound: Duration
    /// Time between two looks at the shot marks and directories. Each change of the state looks, too.
    public var watchInterval: Duration
    /// Wait before a leg that failed with an error is tried again; doubles with each failure up to `retryLimit`.
    public var retryDelay: Duration
    /// Longest wait before a failed leg is tried again.
    public var retryLimit: Duration
    /// Number of request keys that are remembered.
    public var requestKeyLimit: Int
    /// Age at which a request key is forgotten.
    public var requestKeyAge: Duration

    /// Called on the leg's thread before each step on it: tests fail it, let it hang, or copy the legs aside.
    var hook: (@Sendable (LegID, LegStep) throws -> Void)?

    /// The directory of a leg by the first of its paths that is not cut; nil when none is left.
    func directory(of leg: LegID) -> String? {
      let first = legDirectories[leg]
      for (mark, directory) in zip(pathMarks[leg] ?? [], [first, secondDirectories[leg] ?? first]) {
        if !FileOperations.exists(mark) { return directory }
      }
      return pathMarks[leg]?.isEmpty == false ? nil : first
    }

    var witnessReserve: Reserve { Reserve(path: witness + ".reserve", bytes: Reserve.witnessBytes) }

    public init(
      service: ServiceName,
      legDirectories: [LegID: String],
      witness: String,
      shotMarks: [LegID: String],
      migrations: [String],
      force: LegID? = nil,
      resyncData: (
        @Sendable (_ to: LegID, _ progress: @escaping @Sendable (Int64, Int64) -> Void) async throws -> Void
      )? = nil
    ) {
      self.service = service
      self.legDirectories = legDirectories
      self.witness = witness
      self.shotMarks = shotMarks
      self.migrations = migrations
      self.force = force
      self.resyncData = resyncData
      now = { wallClockMilliseconds() }
      legAnswerBound = .seconds(3)
      watchInterval = .milliseconds(200)
      retryDelay = .seconds(1)
      retryLimit = .seconds(60)
      requestKeyLimit = 10_000
      requestKeyAge = .seconds(3600)
    }
  }
}

/// A point on a leg at which tests intervene.
enum LegStep: Sendable, Hashable {
  case begin, statements, commit, committed
  /// Before and after each piece of an image that is copied to it, which the state's thread does not wait for.
  case copy, copied
}

/// A clock that nobody sets, in milliseconds.
func monotonicMilliseconds() -> Int64 { milliseconds(of: CLOCK_MONOTONIC) }

private func milliseconds(of clock: clockid_t) -> Int64 {
  var time = timespec()
  clock_gettime(clock, &time)
  return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}

extension Duration {
  /// Whole milliseconds of it.
  var milliseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
    return overflow ? .max / 2 : product + attoseconds / 1_000_000_000_000_000
  }
}
