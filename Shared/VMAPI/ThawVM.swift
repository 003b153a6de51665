import Primitives
import RPC

/// Lets a guest's file systems go on that were frozen.
public enum ThawVM: RPCMethod {
  public static let name = "vm.thaw"
  public static let summary = "Lets a guest's file systems go on that were frozen."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [VMFailure] = [.noSuchVM, .wrongState, .engineFailed, .agentUnavailable]

  /// What `vm.thaw` is told.
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

  /// What `vm.thaw` answers.
  public struct Result: WireObject, Equatable {
    /// How many file systems were thawed.
    public var fileSystems: Int

    public enum CodingKeys: CodingKey, CaseIterable {
      case fileSystems
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .fileSystems: Field(\.fileSystems, "How many file systems were thawed.")
      }
    }

    public init(fileSystems: Int) {
      self.fileSystems = fileSystems
    }
  }
}
