/// A unit's state as systemd tells it: org.freedesktop.systemd1(5).
public struct SystemdUnit: Sendable, Equatable {
  public var name: String
  /// `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
  public var loadState = "loaded"
  /// `active`, `reloading`, `inactive`, `failed`, `activating`, `deactivating`.
  public var activeState = "inactive"
  public var subState = "dead"
  /// The main process of a service that has one.
  public var mainProcessID: Int32?
  /// How a service's last run ended: `success`, `exit-code`, `signal`, `watchdog`…
  public var result = "success"
  /// Whether the unit's conditions held when it was last started; true before that.
  public var conditionHeld: Bool { conditionResult || conditionMicroseconds == 0 }

  private var conditionResult = true
  /// When the conditions were last looked at; 0 before the first start.
  private var conditionMicroseconds: UInt64 = 0

  public init(name: String) { self.name = name }

  mutating func merge(_ properties: [String: BusValue]) {
    if let value = properties["LoadState"]?.string { loadState = value }
    if let value = properties["ActiveState"]?.string { activeState = value }
    if let value = properties["SubState"]?.string { subState = value }
    if let value = properties["Result"]?.string { result = value }
    if let value = properties["MainPID"]?.uint32 { mainProcessID = value == 0 ? nil : Int32(exactly: value) }
    if let value = properties["ConditionResult"]?.bool { conditionResult = value }
    if let value = properties["ConditionTimestampMonotonic"]?.uint64 { conditionMicroseconds = value }
  }
}
