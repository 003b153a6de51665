import Primitives
import VMAPI

/// What is durably known of a virtual machine.
struct MachineRecord: Sendable, Equatable {
  /// What is intended for it, and how far that has come. Whoever takes over finishes what this says.
  enum Phase: String, Sendable, CaseIterable {
    /// Not running, and not meant to.
    case off
    /// A start was asked for; the process may exist on `module`.
    case starting
    /// Runs on `module`.
    case running
    /// To be ended; its process may still exist.
    case stopping
    /// To be brought back, on `module` where one was chosen already.
    case recovering
    /// Its memory is being written to disk; it goes on where that does not come to its end.
    case saving
    /// Over, with its memory on disk. Its process may still exist until `saved` says what its disks are.
    case saved
    /// Ended unexpectedly, and not to be restarted.
    case crashed
    /// Failed too often, and not to be restarted before it is released.
    case quarantined

    /// Whether a process of it may exist that is wanted.
    var hasProcess: Bool {
      switch self {
      case .off, .crashed, .saved, .quarantined: false
      case .starting, .running, .stopping, .recovering, .saving: true
      }
    }
  }

  var name: VMName
  var uuid: String
  /// 0 to 63: the instance name of its units.
  var slot: Int
  var definition: String
  var autostart: Bool
  var phase: Phase
  var module: ModuleID?
  var reason: String?
  var failovers: Int
  /// First start, in milliseconds since 1970.
  var sinceMilliseconds: Int64?
  /// While it stops: when it is ended by force.
  var stopMilliseconds: Int64?
  /// While it recovers after a failure: when that happened. Nil while it is started with the host.
  var failedMilliseconds: Int64?
  /// While it recovers: where it ran.
  var fromModule: ModuleID?
  /// Its processors are not to run until somebody resumes it.
  var isHeld = false
  /// Its memory on disk: while it is saved, and until a start from there has loaded it.
  var saved: SavedState?
  /// What is still to become of its undo disks since it was shut down.
  var undo: UndoDecision?
  /// When it failed by itself last, in milliseconds since 1970: the newest failures.
  var failures: [Int64] = []
  /// What the last recovery was.
  var lastRecovery: Recovery?

  init(name: VMName, uuid: String, slot: Int, definition: String, autostart: Bool) {
    self.name = name
    self.uuid = uuid
    self.slot = slot
    self.definition = definition
    self.autostart = autostart
    phase = .off
    failovers = 0
  }

  /// The account begins with the first time up.
  mutating func note(_ change: LedgerChange?) {
    if case .up(let time) = change, sinceMilliseconds == nil { sinceMilliseconds = time }
  }
}

/// What is to become of a machine's undo disks, all of them together.
enum UndoDecision: String, Sendable {
  case commit, discard
  /// Somebody is to say.
  case ask
}

/// A change in the account of a virtual machine's availability.
enum LedgerChange: Sendable, Equatable {
  case up(atMilliseconds: Int64)
  case down(atMilliseconds: Int64, planned: Bool, cause: String)
}
