import Primitives
import RPC

/// Stops a virtual machine's processors; memory and disks stay as they are. It stays so until it is resumed, whatever
/// happens to the host's services; where its module is lost, it is made ready on the other one and does not run
/// before it is resumed.
public enum PauseVM: RPCMethod {
  public static let name = "vm.pause"
  public static let summary = "Stops a virtual machine's processors; memory and disks stay as they are."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [VMFailure] = [.noSuchVM, .wrongState, .engineFailed]

  /// What `vm.pause` is told.
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
