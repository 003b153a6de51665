import Primitives
import RPC

/// Throws the saved memory of a virtual machine away: its next start is from its beginning, as after a power cut.
public enum DiscardSavedVM: RPCMethod {
  public static let name = "vm.discardSaved"
  public static let summary = "Throws the saved memory of a virtual machine away: its next start is from its beginning."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [VMFailure] = [.noSuchVM, .wrongState]

  /// What `vm.discardSaved` is told.
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
