import Primitives
import RPC

/// Sends a non-maskable interrupt (NMI) to a virtual machine: most systems write a crash dump then.
public enum InterruptVM: RPCMethod {
  public static let name = "vm.interrupt"
  public static let summary =
    "Sends a non-maskable interrupt (NMI) to a virtual machine: most systems write a crash dump then."
  public static let access = Access.operator
  public static let effect = Effect.keyed
  public static let failures: [VMFailure] = [.noSuchVM, .wrongState, .engineFailed]

  /// What `vm.interrupt` is told.
  public struct Params: KeyedParams, Equatable {
    /// The virtual machine.
    public var name: VMName
    /// Key that a repeat must carry.
    public var requestKey: RequestKey?

    public enum CodingKeys: CodingKey, CaseIterable {
      case name, requestKey
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .name: Field(\.name, "The virtual machine.")
      case .requestKey: Field(\.requestKey, "Key that a repeat must carry.")
      }
    }

    public init(name: VMName, requestKey: RequestKey? = nil) {
      self.name = name
      self.requestKey = requestKey
    }
  }

  public typealias Result = VMSummary
}
