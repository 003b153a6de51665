import RPC

/// What a virtual machine is doing.
public enum VMState: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// Known, not running.
  case defined
  /// Its process is being started.
  case starting
  /// Running.
  case running
  /// Stopped in mid-run: on demand, or by its engine after an I/O error.
  case paused
  /// Its memory is being written to disk; it does not run meanwhile.
  case saving
  /// Not running; its memory is on disk, and its next start goes on from there.
  case saved
  /// Asked to shut down.
  case stopping
  /// Its module was lost; it is being restarted on the other.
  case failedOver
  /// Ended by itself and was not restarted.
  case crashed
  /// Failed so often that it is no longer restarted; `vm.release` ends this.
  case quarantined
}
