import Primitives
import RPC

/// A network interface as a guest's agent sees it.
public struct GuestInterface: WireObject, Equatable {
  /// Its name in the guest.
  public var name: String
  /// Its hardware address; left out where it has none.
  public var hardwareAddress: String?
  /// Its addresses with prefix length, such as 10.0.2.15/24; 64 at most.
  public var addresses: [String]

  public enum CodingKeys: CodingKey, CaseIterable {
    case name, hardwareAddress, addresses
  }

  public static func field(_ key: CodingKeys) -> Field<GuestInterface> {
    switch key {
    case .name: Field(\.name, "Its name in the guest.")
    case .hardwareAddress: Field(\.hardwareAddress, "Its hardware address; left out where it has none.")
    case .addresses: Field(\.addresses, "Its addresses with prefix length, such as 10.0.2.15/24; 64 at most.")
    }
  }

  public init(name: String, hardwareAddress: String? = nil, addresses: [String] = []) {
    self.name = name
    self.hardwareAddress = hardwareAddress
    self.addresses = addresses
  }
}
