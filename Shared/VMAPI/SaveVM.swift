import Primitives
import RPC

/// Writes a virtual machine's memory to both legs and ends it; its next start goes on from there. Answers when it is
/// saved. Where that fails it goes on running.
public enum SaveVM: RPCMethod {
  public static let name = "vm.save"
  public static let summary =
    "Writes a virtual machine's memory to disk and ends it; its next start goes on from there."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [VMFailure] = [.noSuchVM, .wrongState, .engineFailed, .outOfSpace]

  /// What `vm.save` is told.
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
