import LabAPI
import RPC

/// What a unit is doing, in systemd's words.
enum UnitState: String, Sendable {
  case inactive, activating, active, deactivating, failed
}

/// How a unit ended last, in systemd's words.
enum UnitResult: String, Sendable {
  case success, signal, watchdog, condition, timeout
  /// Ended by itself, without complaint, before it was ready.
  case `protocol`
  case exitCode = "exit-code"
}

/// One unit's record. Only the supervisor touches it.
final class Unit {
  typealias Answer = Result<LabUnit, RPCError>

  let name: UnitName
  var state = UnitState.inactive
  var result = UnitResult.success
  var status: String?
  var process: UnitProcess?
  /// Set while the unit is to be down: it is not restarted then.
  var isStopped = true
  /// Set when somebody asked for a start while it was stopping.
  var startsAfterStop = false
  /// What the lab did to the process, when that explains its end better than the end itself does.
  var cause: UnitResult?
  /// Set when the main process ended and the rest is awaited.
  var end: ProcessEnd?
  var lastSignOfLife = ContinuousClock.now
  var startTimer: EventLoop.Timer?
  var watchdogTimer: EventLoop.Timer?
  var stopTimer: EventLoop.Timer?
  var restartTimer: EventLoop.Timer?
  var waitsForStart: [CheckedContinuation<Answer, Never>] = []
  var waitsForStop: [CheckedContinuation<LabUnit, Never>] = []

  init(_ name: UnitName) { self.name = name }

  /// Whether nothing of it runs and nothing is about to.
  var isDown: Bool { process == nil && restartTimer == nil }

  /// As the lab's API shows it.
  var shown: LabUnit {
    LabUnit(
      unit: name.description, activeState: state.rawValue, processID: process.map { Int($0.processID) },
      result: result.rawValue, status: status)
  }
}
