/// Names one request of a client's, so that a repeat after a lost answer is not executed twice.
///
/// `MILLISECONDS-RANDOM`: the Unix time at which it was drawn and 8 to 32 characters of `a-z 0-9 -`. The time lets a
/// service refuse a key that it may have forgotten, whatever its store still holds.
public struct RequestKey: RawRepresentable, Sendable, Hashable, Codable, CustomStringConvertible, WireValue {
  public let rawValue: String
  /// When the client drew it, in milliseconds since 1970.
  public let millisecondsSinceEpoch: Int64

  /// The key, or nil when it does not have the form above.
  public init?(rawValue: String) {
    let parts = rawValue.split(separator: "-", maxSplits: 1)
    guard parts.count == 2, (1...15).contains(parts[0].utf8.count), let time = Int64(parts[0]), time >= 0,
      (8...32).contains(parts[1].utf8.count),
      parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x2D })
    else { return nil }
    self.rawValue = rawValue
    millisecondsSinceEpoch = time
  }

  /// Draws a key at the given Unix time.
  public static func random(millisecondsSinceEpoch: Int64) -> RequestKey {
    let random = UInt64.random(in: .min ... .max)
    let digits = String(random, radix: 36)
    let padded = String(repeating: "0", count: 13 - digits.utf8.count) + digits
    let time = max(0, min(millisecondsSinceEpoch, 999_999_999_999_999))
    return RequestKey(unchecked: "\(time)-\(padded)", time)
  }

  private init(unchecked: String, _ time: Int64) {
    rawValue = unchecked
    millisecondsSinceEpoch = time
  }

  public static var schema: Schema { .string(pattern: "^[0-9]{1,15}-[a-z0-9-]{8,32}$") }
  public var description: String { rawValue }
}

/// Parameters of a method whose effect is `keyed`.
public protocol KeyedParams: WireObject {
  /// The key that a repeat must carry again; without one a repeat is executed anew.
  var requestKey: RequestKey? { get set }
}
