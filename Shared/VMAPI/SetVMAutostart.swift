import Primitives
import RPC

/// Sets whether a virtual machine is started with the host.
public enum SetVMAutostart: RPCMethod {
  public static let name = "vm.setAutostart"
  public static let summary = "Sets whether a virtual machine is started with the host."
  public static let access = Access.admin
  public static let effect = Effect.idempotent
  public static let failures: [VMFailure] = [.noSuchVM]

  /// What `vm.setAutostart` is told.
  public struct Params: WireObject, Equatable {
    /// The virtual machine.
    public var name: VMName
    /// Whether.
    public var autostart: Bool

    public enum CodingKeys: CodingKey, CaseIterable {
      case name, autostart
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .name: Field(\.name, "The virtual machine.")
      case .autostart: Field(\.autostart, "Whether.")
      }
    }

    public init(name: VMName, autostart: Bool) {
      self.name = name
      self.autostart = autostart
    }
  }

  public typealias Result = VMSummary
}
