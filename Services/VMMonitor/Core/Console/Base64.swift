/// Base64 with padding (RFC 4648, section 4).
enum Base64 {
  private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  static func encode(_ bytes: ArraySlice<UInt8>) -> String {
    var text: [UInt8] = []
    text.reserveCapacity((bytes.count + 2) / 3 * 4)
    var rest = bytes
    while let first = rest.popFirst() {
      let second = rest.popFirst()
      let third = second == nil ? nil : rest.popFirst()
      let word = UInt32(first) << 16 | UInt32(second ?? 0) << 8 | UInt32(third ?? 0)
      text.append(digits[Int(word >> 18 & 63)])
      text.append(digits[Int(word >> 12 & 63)])
      text.append(second == nil ? UInt8(ascii: "=") : digits[Int(word >> 6 & 63)])
      text.append(third == nil ? UInt8(ascii: "=") : digits[Int(word & 63)])
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// The bytes, or nil when the text is not base64.
  static func decode(_ text: String) -> [UInt8]? {
    let characters = Array(text.utf8)
    guard characters.count % 4 == 0 else { return nil }
    let padding = characters.suffix(2).filter { $0 == UInt8(ascii: "=") }.count
    let body = characters.dropLast(padding)
    var bytes: [UInt8] = []
    var word: UInt32 = 0
    var bits = 0
    for character in body {
      guard let value = value(of: character) else { return nil }
      word = (word << 6 | UInt32(value)) & 0xFF_FFFF
      bits += 6
      if bits >= 8 {
        bits -= 8
        bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(bits)))
      }
    }
    guard padding == 0 || characters.last == UInt8(ascii: "=") else { return nil }
    return bits == padding * 2 ? bytes : nil
  }

  private static func value(of character: UInt8) -> UInt8? {
    switch character {
    case 0x41...0x5A: character - 0x41
    case 0x61...0x7A: character - 0x61 + 26
    case 0x30...0x39: character - 0x30 + 52
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }
}
