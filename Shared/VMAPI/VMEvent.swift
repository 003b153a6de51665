import RPC

/// A change of a virtual machine's state.
public struct VMEvent: WireObject, Equatable {
  /// The virtual machine as it is now.
  public var vm: VMSummary

  public enum CodingKeys: CodingKey, CaseIterable {
    case vm
  }

  public static func field(_ key: CodingKeys) -> Field<VMEvent> {
    switch key {
    case .vm: Field(\.vm, "The virtual machine as it is now.")
    }
  }

  public init(vm: VMSummary) {
    self.vm = vm
  }
}
