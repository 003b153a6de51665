import Primitives
import RPC

/// One of a service's two instances.
public struct ServiceInstance: WireObject, Equatable {
  /// CPU module on which it runs.
  public var module: ModuleID
  /// What it is doing.
  public var state: InstanceState
  /// Its process, where it runs.
  public var processID: Int?

  public enum CodingKeys: CodingKey, CaseIterable {
    case module, state, processID
  }

  public static func field(_ key: CodingKeys) -> Field<ServiceInstance> {
    switch key {
    case .module: Field(\.module, "CPU module on which it runs.")
    case .state: Field(\.state, "What it is doing.")
    case .processID: Field(\.processID, "Its process, where it runs.")
    }
  }

  public init(module: ModuleID, state: InstanceState, processID: Int? = nil) {
    self.module = module
    self.state = state
    self.processID = processID
  }
}
