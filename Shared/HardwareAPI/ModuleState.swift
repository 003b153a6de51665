import RPC

/// State of a module, in the terms of this hardware family.
public enum ModuleState: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// The slot never held a module.
  case empty
  /// Taken out of its slot.
  case removed
  /// In its slot, taken out of service.
  case offline
  /// Starting.
  case initializing
  /// Under test before it goes into service.
  case diagnostics
  /// Tested; waits to go into service.
  case diagnosticsPassed
  /// Its firmware is being written.
  case firmwareUpdate
  /// Catching up with its partner.
  case syncing
  /// In service.
  case online
  /// Failed; the reason says why.
  case broken
  /// Isolated electrically: everything on it was stopped.
  case shot
  /// Its memory is being saved for diagnosis.
  case dumping
  /// Not known yet.
  case unknown
}
