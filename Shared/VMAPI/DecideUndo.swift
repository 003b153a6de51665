import Primitives
import RPC

/// Decides what becomes of all undo disks of a virtual machine that is off: of all of them, or, while storage is out of
/// reach, later of all of them. Each has a new, empty undo layer afterwards.
public enum DecideUndo: RPCMethod {
  public static let name = "vm.decideUndo"
  public static let summary = "Keeps, commits or discards what was written to all undo disks of a virtual machine."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [VMFailure] = [.noSuchVM, .wrongState, .storageUnavailable]

  /// What `vm.decideUndo` is told.
  public struct Params: WireObject, Equatable {
    /// The virtual machine; it must be off.
    public var name: VMName
    /// What becomes of what was written.
    public var action: UndoAction

    public enum CodingKeys: CodingKey, CaseIterable {
      case name, action
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .name: Field(\.name, "The virtual machine; it must be off.")
      case .action: Field(\.action, "What becomes of what was written.")
      }
    }

    public init(name: VMName, action: UndoAction) {
      self.name = name
      self.action = action
    }
  }

  public typealias Result = VMSummary
}
