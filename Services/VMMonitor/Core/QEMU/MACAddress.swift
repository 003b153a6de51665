/// Addresses that the host gives to interfaces.
enum MACAddress {
  /// An address in QEMU's range that is the same for the same machine and interface: three bytes of a hash over UUID, index
  /// and attempt (FNV-1a).
  ///
  /// - Parameter attempt: another number gives another address, where one is taken.
  static func drawn(uuid: String, index: Int, attempt: Int = 0) -> String {
    var hash: UInt32 = 2_166_136_261
    let suffix = attempt == 0 ? "/\(index)" : "/\(index)/\(attempt)"
    for byte in Array(uuid.utf8) + Array(suffix.utf8) { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
    let bytes = [hash >> 16, hash >> 8, hash].map { UInt8(truncatingIfNeeded: $0) }
    return "52:54:00:" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }
}
