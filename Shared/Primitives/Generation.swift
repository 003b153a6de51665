/// A random identifier drawn at each change of what it identifies: 128 bits as 32 lower-case hexadecimal digits.
///
/// Two are equal or unrelated: which came first is told by records of ancestry, never by the identifier.
public struct GenerationID: RawRepresentable, Sendable, Hashable, Codable, CustomStringConvertible {
  public let rawValue: String

  /// The identifier, or nil when this is not 32 lower-case hexadecimal digits.
  public init?(rawValue: String) {
    guard rawValue.utf8.count == 32,
      rawValue.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
    else { return nil }
    self.rawValue = rawValue
  }

  /// Draws a new one.
  public static func random(using generator: inout some RandomNumberGenerator) -> GenerationID {
    let hex = Array("0123456789abcdef".utf8)
    var digits: [UInt8] = []
    for _ in 0..<4 {
      var word = UInt32.random(in: .min ... .max, using: &generator)
      for _ in 0..<8 {
        digits.append(hex[Int(word & 15)])
        word >>= 4
      }
    }
    return GenerationID(unchecked: String(decoding: digits, as: UTF8.self))
  }

  /// Draws a new one from the system's generator.
  public static func random() -> GenerationID {
    var generator = SystemRandomNumberGenerator()
    return random(using: &generator)
  }

  private init(unchecked: String) { rawValue = unchecked }

  public var description: String { rawValue }
}
