import Primitives
import RPC

/// Takes a definition that was edited by hand.
public enum ReloadVM: RPCMethod {
  public static let name = "vm.reload"
  public static let summary =
    "Takes the definition that was edited by hand in LEG/vm/machines/NAME/domain.xml, of a machine that is not running."
  public static let access = Access.admin
  public static let effect = Effect.idempotent
  public static let failures: [VMFailure] = [.noSuchVM, .badDefinition, .wrongState, .vmExists, .definitionChanged]

  /// What `vm.reload` is told.
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

  /// What `vm.reload` answers.
  public struct Result: WireObject, Equatable {
    /// The legs whose file had been edited; none when there was nothing to take.
    public var legs: [LegID]
    /// The virtual machine.
    public var vm: VMDetail

    public enum CodingKeys: CodingKey, CaseIterable {
      case legs, vm
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .legs: Field(\.legs, "The legs whose file had been edited; none when there was nothing to take.")
      case .vm: Field(\.vm, "The virtual machine.")
      }
    }

    public init(legs: [LegID], vm: VMDetail) {
      self.legs = legs
      self.vm = vm
    }
  }
}
