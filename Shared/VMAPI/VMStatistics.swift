import Primitives
import RPC

/// What a virtual machine has used.
public struct VMStatistics: WireObject, Equatable {
  /// The virtual machine.
  public var name: VMName
  /// What it is doing.
  public var state: VMState
  /// The oldest first.
  public var samples: [VMSample]

  public enum CodingKeys: CodingKey, CaseIterable {
    case name, state, samples
  }

  public static func field(_ key: CodingKeys) -> Field<VMStatistics> {
    switch key {
    case .name: Field(\.name, "The virtual machine.")
    case .state: Field(\.state, "What it is doing.")
    case .samples: Field(\.samples, "The oldest first.")
    }
  }

  public init(name: VMName, state: VMState, samples: [VMSample]) {
    self.name = name
    self.state = state
    self.samples = samples
  }
}
