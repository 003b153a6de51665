/// Identifiers of layers: random UUIDs (RFC 9562, version 4) as 36 characters in lower case.
enum LayerID {
  static func random() -> String {
    var bytes = (0..<16).map { _ in UInt8.random(in: .min ... .max) }
    bytes[6] = bytes[6] & 0x0F | 0x40
    bytes[8] = bytes[8] & 0x3F | 0x80
    return text(of: bytes)
  }

  /// The text of 16 bytes in the order in which a VHD footer holds them.
  static func text(of bytes: [UInt8]) -> String {
    let hex = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for (index, byte) in bytes.enumerated() {
      if [4, 6, 8, 10].contains(index) { text.append(UInt8(ascii: "-")) }
      text.append(hex[Int(byte >> 4)])
      text.append(hex[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// The 16 bytes, or nil when this is no identifier of a layer.
  static func bytes(of text: String) -> [UInt8]? {
    guard isWellFormed(text) else { return nil }
    var bytes: [UInt8] = []
    var high: UInt8?
    for character in text.utf8 where character != UInt8(ascii: "-") {
      let digit = character >= 0x61 ? character - 0x61 + 10 : character - 0x30
      if let first = high {
        bytes.append(first << 4 | digit)
        high = nil
      } else {
        high = digit
      }
    }
    return bytes
  }

  static func isWellFormed(_ text: String) -> Bool {
    let characters = Array(text.utf8)
    guard characters.count == 36 else { return false }
    return characters.enumerated().allSatisfy { index, character in
      [8, 13, 18, 23].contains(index)
        ? character == UInt8(ascii: "-")
        : (0x30...0x39).contains(character) || (0x61...0x66).contains(character)
    }
  }
}
