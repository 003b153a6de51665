import Primitives
import RPC

/// Shows one virtual machine.
public enum ShowVM: RPCMethod {
  public static let name = "vm.show"
  public static let summary = "Shows one virtual machine."
  public static let access = Access.viewer
  public static let effect = Effect.read
  public static let failures: [VMFailure] = [.noSuchVM]

  /// What `vm.show` is told.
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

  public typealias Result = VMDetail
}
