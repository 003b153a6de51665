/// A unit's state at one moment.
public struct UnitStatus: Sendable, Equatable {
  /// The unit's state, in systemd's words.
  public enum ActiveState: String, Sendable, Hashable, CaseIterable {
    case inactive, activating, active, deactivating, failed
    /// A word that this build does not know.
    case unknown

    /// The state that systemd calls so; `reloading` counts as active, for the unit serves.
    public init(systemdName: String) {
      self = systemdName == "reloading" ? .active : ActiveState(rawValue: systemdName) ?? .unknown
    }
  }

  /// The unit's name, with its suffix.
  public var unit: String
  public var activeState: ActiveState
  /// Its main process, where one runs.
  public var mainProcessID: Int32?
  /// How its last run ended, in systemd's words: `success`, `exit-code`, `signal`, `watchdog`, `timeout`; `condition`
  /// where a condition kept it from starting.
  public var result: String

  public init(unit: String, activeState: ActiveState, mainProcessID: Int32? = nil, result: String = "success") {
    self.unit = unit
    self.activeState = activeState
    self.mainProcessID = mainProcessID
    self.result = result
  }
}
