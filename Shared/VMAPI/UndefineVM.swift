import Primitives
import RPC

/// Forgets a virtual machine that is not running; its volumes stay.
public enum UndefineVM: RPCMethod {
  public static let name = "vm.undefine"
  public static let summary = "Forgets a virtual machine that is not running; its volumes stay."
  public static let access = Access.admin
  public static let effect = Effect.idempotent
  public static let failures: [VMFailure] = [.wrongState]

  /// What `vm.undefine` is told.
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

  /// What `vm.undefine` answers.
  public struct Result: WireObject, Equatable {
    /// Whether there was one.
    public var undefined: Bool

    public enum CodingKeys: CodingKey, CaseIterable {
      case undefined
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .undefined: Field(\.undefined, "Whether there was one.")
      }
    }

    public init(undefined: Bool) {
      self.undefined = undefined
    }
  }
}
