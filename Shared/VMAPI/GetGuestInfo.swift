import Primitives
import RPC

/// Asks a virtual machine's guest agent what runs there, under which addresses, with which file systems. What it answers is
/// the guest's own word.
public enum GetGuestInfo: RPCMethod {
  public static let name = "vm.guestInfo"
  public static let summary = "Asks a virtual machine's guest agent for its system, addresses and file systems."
  public static let access = Access.viewer
  public static let effect = Effect.read
  public static let failures: [VMFailure] = [.noSuchVM, .wrongState, .engineFailed, .agentUnavailable]

  /// What `vm.guestInfo` is told.
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

  public typealias Result = GuestInfo
}
