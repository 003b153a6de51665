import RPC

/// Lists the virtual machines.
public enum ListVMs: RPCMethod {
  public static let name = "vm.list"
  public static let summary = "Lists the virtual machines."
  public static let access = Access.viewer
  public static let effect = Effect.read

  public typealias Params = Nothing

  /// What `vm.list` answers.
  public struct Result: WireObject, Equatable {
    /// By name.
    public var vms: [VMSummary]

    public enum CodingKeys: CodingKey, CaseIterable {
      case vms
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .vms: Field(\.vms, "By name.")
      }
    }

    public init(vms: [VMSummary]) {
      self.vms = vms
    }
  }
}
