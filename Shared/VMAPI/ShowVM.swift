import Primitives
import RPC

/// Shows one virtual machine.
public enum ShowVM: RPCMethod {
  public static let name = "vm.show"
  public static let summary = "Shows one virtual machine."
  public static let access = Access.viewer
  public static let effect = Effect.read
  public static let failures: [VMFailure] = [.noSuchVM, .noSuchVersion]

  /// What `vm.show` is told.
  public struct Params: WireObject, Equatable {
    /// The virtual machine.
    public var name: VMName
    /// Version of the definition that is shown; the current one when left out.
    public var version: Int?

    public enum CodingKeys: CodingKey, CaseIterable {
      case name, version
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .name: Field(\.name, "The virtual machine.")
      case .version:
        Field(\.version, "Version of the definition that is shown; the current one when left out.", in: 1...Int.max)
      }
    }

    public init(name: VMName, version: Int? = nil) {
      self.name = name
      self.version = version
    }
  }

  public typealias Result = VMDetail
}
