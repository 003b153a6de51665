import Primitives
import RPC
import VMAPI

/// What a guest's agent answered, made out of what a guest may send: anything. Texts and lists are cut, what does not fit is
/// left out. (QEMU, qga/qapi-schema.json.)
enum GuestAnswers {
  /// Entries of a list.
  static let entries = 64
  /// Characters of a text.
  static let characters = 256

  static func text(_ value: JSONValue?) -> String? {
    guard let text = value?.string else { return nil }
    // It is shown on terminals.
    let plain = text.unicodeScalars.prefix(characters).filter { $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value) }
    return plain.isEmpty ? nil : String(String.UnicodeScalarView(plain))
  }

  private static func list(_ value: JSONValue?) -> ArraySlice<JSONValue> {
    guard case .array(let values)? = value else { return [] }
    return values.prefix(entries)
  }

  /// Of `guest-network-get-interfaces`.
  static func interfaces(_ value: JSONValue?) -> [GuestInterface] {
    list(value).compactMap { entry in
      guard let name = text(entry["name"]) else { return nil }
      let addresses = list(entry["ip-addresses"]).compactMap { address -> String? in
        guard let digits = text(address["ip-address"]) else { return nil }
        return address["prefix"]?.integer.map { "\(digits)/\($0)" } ?? digits
      }
      return GuestInterface(name: name, hardwareAddress: text(entry["hardware-address"]), addresses: addresses)
    }
  }

  /// Of `guest-get-fsinfo`.
  static func fileSystems(_ value: JSONValue?) -> [GuestFileSystem] {
    list(value).compactMap { entry in
      guard let mountPoint = text(entry["mountpoint"]), let kind = text(entry["type"]) else { return nil }
      func bytes(_ name: String) -> Int64? { entry[name]?.integer.flatMap { $0 < 0 ? nil : $0 } }
      return GuestFileSystem(
        mountPoint: mountPoint, kind: kind, totalBytes: bytes("total-bytes"), usedBytes: bytes("used-bytes"))
    }
  }

  /// A number of file systems.
  static func count(_ value: JSONValue) -> Int { Int(clamping: max(0, value.integer ?? 0)) }
}
