import Primitives
import RPC

/// Ends a virtual machine at once, as if its power were cut.
public enum KillVM: RPCMethod {
  public static let name = "vm.kill"
  public static let summary = "Ends a virtual machine at once, as if its power were cut."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [VMFailure] = [.noSuchVM]

  /// What `vm.kill` is told.
  public struct Params: WireObject, Equatable {
    /// The virtual machine.
    public var name: VMName

    public enum CodingKeys: CodingKey, CaseIterable {
      case name
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .name: Field(\.name, "The virtual machine.")
      }
    }

    public init(name: VMName) {
      self.name = name
    }
  }

  public typealias Result = VMSummary
}
