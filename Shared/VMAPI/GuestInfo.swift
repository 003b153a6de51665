import Primitives
import RPC

/// What a guest's agent says of its system. What an agent does not know is left out.
public struct GuestInfo: WireObject, Equatable {
  /// The virtual machine.
  public var name: VMName
  /// Version of the agent.
  public var agentVersion: String
  /// Name of the host that the guest gives itself.
  public var hostName: String?
  /// Name of the operating system for people.
  public var system: String?
  /// Release of its kernel.
  public var kernel: String?
  /// Its network interfaces, 64 at most.
  public var interfaces: [GuestInterface]
  /// Its mounted file systems, 64 at most.
  public var fileSystems: [GuestFileSystem]

  public enum CodingKeys: CodingKey, CaseIterable {
    case name, agentVersion, hostName, system, kernel, interfaces, fileSystems
  }

  public static func field(_ key: CodingKeys) -> Field<GuestInfo> {
    switch key {
    case .name: Field(\.name, "The virtual machine.")
    case .agentVersion: Field(\.agentVersion, "Version of the agent.")
    case .hostName: Field(\.hostName, "Name of the host that the guest gives itself.")
    case .system: Field(\.system, "Name of the operating system for people.")
    case .kernel: Field(\.kernel, "Release of its kernel.")
    case .interfaces: Field(\.interfaces, "Its network interfaces, 64 at most.")
    case .fileSystems: Field(\.fileSystems, "Its mounted file systems, 64 at most.")
    }
  }

  public init(
    name: VMName, agentVersion: String, hostName: String? = nil, system: String? = nil, kernel: String? = nil,
    interfaces: [GuestInterface] = [], fileSystems: [GuestFileSystem] = []
  ) {
    self.name = name
    self.agentVersion = agentVersion
    self.hostName = hostName
    self.system = system
    self.kernel = kernel
    self.interfaces = interfaces
    self.fileSystems = fileSystems
  }
}
