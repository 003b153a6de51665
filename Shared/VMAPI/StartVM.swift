import Primitives
import RPC

/// Starts a virtual machine; answers when its processor runs. One that was saved goes on where it was.
public enum StartVM: RPCMethod {
  public static let name = "vm.start"
  public static let summary = "Starts a virtual machine; answers when its processor runs."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [VMFailure] = [
    .noSuchVM, .wrongState, .noModuleInService, .engineFailed, .storageUnavailable, .savedStateUnusable,
  ]

  /// What `vm.start` is told.
  public struct Params: WireObject, Equatable {
    /// The virtual machine.
    public var name: VMName
    /// CPU module on which to start it, when that is in service.
    public var module: ModuleID?
    /// Whether to throw away what was saved and start from the beginning.
    public var discardSaved: Bool?

    public enum CodingKeys: CodingKey, CaseIterable {
      case name, module, discardSaved
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .name: Field(\.name, "The virtual machine.")
      case .module: Field(\.module, "CPU module on which to start it, when that is in service.")
      case .discardSaved:
        Field(\.discardSaved, "Whether to throw away what was saved and start from the beginning.")
      }
    }

    public init(name: VMName, module: ModuleID? = nil, discardSaved: Bool? = nil) {
      self.name = name
      self.module = module
      self.discardSaved = discardSaved
    }
  }

  public typealias Result = VMSummary
}
