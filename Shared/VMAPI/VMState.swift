import RPC

/// What a virtual machine is doing.
public enum VMState: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// Known, not running.
  case defined
  /// Its process is being started.
  case starting
  /// Running.
  case running
  /// Stopped in mid-run by its engine.
  case paused
  /// Asked to shut down.
  case stopping
  /// Its module was lost; it is being restarted on the other.
  case failedOver
  /// Ended by itself and was not restarted.
  case crashed
}
