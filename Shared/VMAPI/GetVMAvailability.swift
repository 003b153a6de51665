import Primitives
import RPC

/// Computes how available virtual machines were, from the records.
public enum GetVMAvailability: RPCMethod {
  public static let name = "vm.availability"
  public static let summary = "Computes how available virtual machines were, from the records."
  public static let access = Access.viewer
  public static let effect = Effect.read
  public static let failures: [VMFailure] = [.noSuchVM]

  /// What `vm.availability` is told.
  public struct Params: WireObject, Equatable {
    /// Only this one.
    public var name: VMName?

    public enum CodingKeys: CodingKey, CaseIterable {
      case name
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .name: Field(\.name, "Only this one.")
      }
    }

    public init(name: VMName? = nil) {
      self.name = name
    }
  }

  /// What `vm.availability` answers.
  public struct Result: WireObject, Equatable {
    /// By name.
    public var vms: [VMAvailability]

    public enum CodingKeys: CodingKey, CaseIterable {
      case vms
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .vms: Field(\.vms, "By name.")
      }
    }

    public init(vms: [VMAvailability]) {
      self.vms = vms
    }
  }
}
