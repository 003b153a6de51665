import Primitives
import RPC

/// Asks a virtual machine to shut down, and ends it when it does not.
public enum ShutDownVM: RPCMethod {
  public static let name = "vm.shutdown"
  public static let summary = "Asks a virtual machine to shut down, and ends it when it does not."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [VMFailure] = [.noSuchVM, .wrongState]

  /// What `vm.shutdown` is told.
  public struct Params: WireObject, Equatable {
    /// The virtual machine.
    public var name: VMName
    /// How long it may take before it is ended; 60 when left out.
    public var timeoutSeconds: Int?

    public enum CodingKeys: CodingKey, CaseIterable {
      case name, timeoutSeconds
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .name: Field(\.name, "The virtual machine.")
      case .timeoutSeconds:
        Field(
          \.timeoutSeconds,
          "How long it may take before it is ended; 60 when left out.", in: 0...3600)
      }
    }

    public init(name: VMName, timeoutSeconds: Int? = nil) {
      self.name = name
      self.timeoutSeconds = timeoutSeconds
    }
  }

  public typealias Result = VMSummary
}
