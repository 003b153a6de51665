import AlertAPI
import Primitives
import RPC
import ServiceAPI

/// Time, so that tests can turn the hands.
public protocol HostClock: Sendable {
  /// Grows steadily from an arbitrary start; not moved when the host's time is set.
  var nanoseconds: Int64 { get }
  /// Unix time, for records.
  var millisecondsSinceEpoch: Int64 { get }
  /// Returns after that time, or earlier when the task is cancelled.
  func sleep(nanoseconds: Int64) async
  /// As `sleep(nanoseconds:)`, put off for as long as `more`, asked at its end, gives a time above 0. `more` is called from
  /// anywhere and must be short.
  ///
  /// - Returns: when it was due.
  func sleep(nanoseconds: Int64, more: @escaping @Sendable () -> Int64) async -> Int64
}

extension HostClock {
  public func sleep(nanoseconds: Int64, more: @escaping @Sendable () -> Int64) async -> Int64 {
    var due = self.nanoseconds + nanoseconds
    await sleep(nanoseconds: nanoseconds)
    while !Task.isCancelled, case let extra = more(), extra > 0 {
      due = self.nanoseconds + extra
      await sleep(nanoseconds: extra)
    }
    return due
  }
}

/// Where alerts go. Never blocks, never fails.
public protocol AlertSink: Sendable {
  func publish(
    _ severity: Severity, kind: String, subject: String, message: String, data: [String: JSONValue])
}

/// How the services see the legs.
public protocol LegProbe: Sendable {
  /// Every leg as the active instance of a service sees it, or nil when it does not answer.
  func legs(of service: ServiceName) async -> [LegStatus]?
  /// Has the active instance of a service take back the legs that are there again, however lately they failed.
  func check(by service: ServiceName) async
}

/// Who holds the services' leases.
public protocol LeaseReader: Sendable {
  /// Process of the active instance, or nil when there is none.
  func holder(of service: ServiceName) async -> Int32?
}

/// What the supervisor stands on.
public struct Surroundings: Sendable {
  /// CPU module on which this instance runs.
  public var module: ModuleID
  /// Names this start of the host: another one means that everything was started anew.
  public var boot: String
  public var clock: any HostClock
  public var alerts: any AlertSink
  public var legs: any LegProbe
  public var leases: any LeaseReader
  public var marks: any ShotMarks
  public var paths: any PathMarks
  /// Whether a process of this host exists.
  public var processExists: @Sendable (Int32) -> Bool
  /// Whether a process, or this one, is ready to run and has no processor to run on.
  public var waitsForProcessor: @Sendable (Int32?) -> Bool

  public init(
    module: ModuleID, boot: String, clock: any HostClock, alerts: any AlertSink, legs: any LegProbe,
    leases: any LeaseReader, marks: any ShotMarks, paths: any PathMarks,
    processExists: @escaping @Sendable (Int32) -> Bool,
    waitsForProcessor: @escaping @Sendable (Int32?) -> Bool = { _ in false }
  ) {
    self.module = module
    self.boot = boot
    self.clock = clock
    self.alerts = alerts
    self.legs = legs
    self.leases = leases
    self.marks = marks
    self.paths = paths
    self.processExists = processExists
    self.waitsForProcessor = waitsForProcessor
  }
}

/// The host's clocks.
public struct SystemHostClock: HostClock {
  public init() {}

  public var nanoseconds: Int64 { monotonicNanoseconds() }

  public var millisecondsSinceEpoch: Int64 { wallMilliseconds() }

  public func sleep(nanoseconds: Int64) async {
    // An error means that the task was cancelled: the caller looks at that itself.
    try? await Task.sleep(for: .nanoseconds(max(0, nanoseconds)), tolerance: .zero)
  }

  public func sleep(nanoseconds: Int64, more: @escaping @Sendable () -> Int64) async -> Int64 {
    await Alarm.shared.sleep(nanoseconds: nanoseconds, more: more)
  }
}
