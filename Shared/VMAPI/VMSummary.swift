import Primitives
import RPC

/// One virtual machine in a list.
public struct VMSummary: WireObject, Equatable {
  /// Its name.
  public var name: VMName
  /// What it is doing.
  public var state: VMState
  /// CPU module on which it runs.
  public var module: ModuleID?
  /// Whether it is started with the host.
  public var autostart: Bool
  /// Its process.
  public var processID: Int?
  /// Times that it was restarted after a failure.
  public var failovers: Int
  /// Why it is in this state, where that needs a sentence.
  public var reason: String?

  public enum CodingKeys: CodingKey, CaseIterable {
    case name, state, module, autostart, processID, failovers, reason
  }

  public static func field(_ key: CodingKeys) -> Field<VMSummary> {
    switch key {
    case .name: Field(\.name, "Its name.")
    case .state: Field(\.state, "What it is doing.")
    case .module: Field(\.module, "CPU module on which it runs.")
    case .autostart: Field(\.autostart, "Whether it is started with the host.")
    case .processID: Field(\.processID, "Its process.")
    case .failovers: Field(\.failovers, "Times that it was restarted after a failure.")
    case .reason: Field(\.reason, "Why it is in this state, where that needs a sentence.")
    }
  }

  public init(
    name: VMName,
    state: VMState,
    module: ModuleID? = nil,
    autostart: Bool,
    processID: Int? = nil,
    failovers: Int,
    reason: String? = nil
  ) {
    self.name = name
    self.state = state
    self.module = module
    self.autostart = autostart
    self.processID = processID
    self.failovers = failovers
    self.reason = reason
  }
}
