import Primitives
import RPC

/// Lists the definitions that a virtual machine had.
public enum ListVMVersions: RPCMethod {
  public static let name = "vm.versions"
  public static let summary = "Lists the definitions that a virtual machine has and had; the newest twenty are kept."
  public static let access = Access.viewer
  public static let effect = Effect.read
  public static let failures: [VMFailure] = [.noSuchVM]

  /// What `vm.versions` is told.
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

  /// What `vm.versions` answers.
  public struct Result: WireObject, Equatable {
    /// The newest first.
    public var versions: [VMVersion]

    public enum CodingKeys: CodingKey, CaseIterable {
      case versions
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .versions: Field(\.versions, "The newest first.")
      }
    }

    public init(versions: [VMVersion]) {
      self.versions = versions
    }
  }
}
