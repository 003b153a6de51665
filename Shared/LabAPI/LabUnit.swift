import RPC

/// One unit of the lab.
public struct LabUnit: WireObject, Equatable {
  /// Its name, as systemd would have it.
  public var unit: String
  /// inactive, activating, active, deactivating or failed.
  public var activeState: String
  /// Its main process.
  public var processID: Int?
  /// How it ended: success, exit-code, signal, watchdog, timeout, protocol or condition.
  public var result: String
  /// What it last reported about itself.
  public var status: String?

  public enum CodingKeys: CodingKey, CaseIterable {
    case unit, activeState, processID, result, status
  }

  public static func field(_ key: CodingKeys) -> Field<LabUnit> {
    switch key {
    case .unit: Field(\.unit, "Its name, as systemd would have it.")
    case .activeState: Field(\.activeState, "inactive, activating, active, deactivating or failed.")
    case .processID: Field(\.processID, "Its main process.")
    case .result: Field(\.result, "How it ended: success, exit-code, signal, watchdog, timeout, protocol or condition.")
    case .status: Field(\.status, "What it last reported about itself.")
    }
  }

  public init(unit: String, activeState: String, processID: Int? = nil, result: String, status: String? = nil) {
    self.unit = unit
    self.activeState = activeState
    self.processID = processID
    self.result = result
    self.status = status
  }
}
