import Primitives
import RPC

/// Ends the quarantine of a virtual machine that kept failing, and forgets its failures.
public enum ReleaseVM: RPCMethod {
  public static let name = "vm.release"
  public static let summary = "Ends the quarantine of a virtual machine that kept failing, and forgets its failures."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [VMFailure] = [.noSuchVM]

  /// What `vm.release` is told.
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
