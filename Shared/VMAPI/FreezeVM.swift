import Primitives
import RPC

/// Has a guest's agent bring its file systems to rest, so that a snapshot or a backup of its disks is consistent. They are
/// thawed when the time is over, whatever became of the caller, and before the guest is shut down.
public enum FreezeVM: RPCMethod {
  public static let name = "vm.freeze"
  public static let summary = "Brings a guest's file systems to rest for a snapshot, for a limited time."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [VMFailure] = [.noSuchVM, .wrongState, .engineFailed, .agentUnavailable]

  /// What `vm.freeze` is told.
  public struct Params: WireObject, Equatable {
    /// The virtual machine.
    public var name: VMName
    /// When they are thawed at the latest; 30 when left out. Asked again while they are frozen, the time begins anew.
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
          "When they are thawed at the latest; 30 when left out. Asked again while they are frozen, the time begins anew.",
          in: 1...600)
      }
    }

    public init(name: VMName, timeoutSeconds: Int? = nil) {
      self.name = name
      self.timeoutSeconds = timeoutSeconds
    }
  }

  /// What `vm.freeze` answers.
  public struct Result: WireObject, Equatable {
    /// How many file systems are frozen.
    public var fileSystems: Int
    /// When they are thawed at the latest, in milliseconds since 1970.
    public var thawMilliseconds: Int64

    public enum CodingKeys: CodingKey, CaseIterable {
      case fileSystems, thawMilliseconds
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .fileSystems: Field(\.fileSystems, "How many file systems are frozen.")
      case .thawMilliseconds:
        Field(\.thawMilliseconds, "When they are thawed at the latest, in milliseconds since 1970.")
      }
    }

    public init(fileSystems: Int, thawMilliseconds: Int64) {
      self.fileSystems = fileSystems
      self.thawMilliseconds = thawMilliseconds
    }
  }
}
