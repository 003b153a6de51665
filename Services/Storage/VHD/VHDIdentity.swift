import Glibc

/// The identifier of a VHD file.
public struct VHDUUID: Sendable, Hashable, CustomStringConvertible {
  let bytes: [UInt8]

  /// From 16 bytes; nil for another number of them.
  public init?(bytes: some Sequence<UInt8>) {
    let bytes = Array(bytes)
    guard bytes.count == 16 else { return nil }
    self.bytes = bytes
  }

  private init(unchecked: [UInt8]) { bytes = unchecked }

  /// Draws a new one (version 4).
  public static func random() -> VHDUUID {
    var generator = SystemRandomNumberGenerator()
    var bytes = (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) }
    bytes[6] = bytes[6] & 0x0f | 0x40
    bytes[8] = bytes[8] & 0x3f | 0x80
    return VHDUUID(unchecked: bytes)
  }

  static let zero = VHDUUID(unchecked: [UInt8](repeating: 0, count: 16))

  public var description: String {
    let hex = Array("0123456789abcdef")
    var text = ""
    for (index, byte) in bytes.enumerated() {
      if [4, 6, 8, 10].contains(index) { text.append("-") }
      text.append(hex[Int(byte >> 4)])
      text.append(hex[Int(byte & 15)])
    }
    return text
  }
}

/// By what a differencing file knows its parent.
public struct VHDIdentity: Sendable, Hashable, CustomStringConvertible {
  /// The file's identifier.
  public var uuid: VHDUUID
  /// Its time stamp, in seconds since 2000-01-01 UTC.
  public var timeStamp: UInt32

  public init(uuid: VHDUUID, timeStamp: UInt32) {
    self.uuid = uuid
    self.timeStamp = timeStamp
  }

  /// A new identity, as of now.
  public static func new() -> VHDIdentity {
    VHDIdentity(uuid: .random(), timeStamp: UInt32(clamping: time(nil) - 946_684_800))
  }

  public var description: String { "\(uuid) of \(timeStamp)" }
}
