/// A name that users choose: a volume's, a virtual machine's, an image's.
///
/// 1 to 63 of `a-z A-Z 0-9 . _ -`, beginning with a letter or a digit, so that it is safe as a file name, as part of
/// a unit name and on a command line.
public protocol UserName: RawRepresentable<String>, Sendable, Hashable, Codable, CustomStringConvertible, Comparable {
  /// Makes the name without a check; use `init(rawValue:)`.
  init(unchecked: String)
  /// What such a name names, for error messages: "volume".
  static var noun: String { get }
}

extension UserName {
  /// The regular expression that every name of a user's choice matches.
  public static var pattern: String { "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$" }

  /// The name, or nil when a character or the length is not allowed.
  public init?(rawValue: String) {
    let bytes = rawValue.utf8
    guard (1...63).contains(bytes.count), let first = bytes.first, first.isASCIIAlphanumeric,
      bytes.allSatisfy({ $0.isASCIIAlphanumeric || $0 == UInt8(ascii: ".") || $0 == 0x5F || $0 == 0x2D })
    else { return nil }
    self.init(unchecked: rawValue)
  }

  public var description: String { rawValue }

  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

  /// What to tell somebody whose name was refused.
  public static var rule: String {
    "A \(noun) name has 1 to 63 of letters, digits, '.', '_' and '-', and begins with a letter or a digit."
  }
}

extension UInt8 {
  /// Whether this is an ASCII letter or digit.
  public var isASCIIAlphanumeric: Bool {
    switch self {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
    default: false
    }
  }
}

/// The name of a volume: what a virtual machine sees as a disk.
public struct VolumeName: UserName {
  public let rawValue: String
  public init(unchecked: String) { rawValue = unchecked }
  public static var noun: String { "volume" }
}

/// The name of a virtual machine.
public struct VMName: UserName {
  public let rawValue: String
  public init(unchecked: String) { rawValue = unchecked }
  public static var noun: String { "virtual machine" }
}

/// The name of a read-only base image in the library.
public struct ImageName: UserName {
  public let rawValue: String
  public init(unchecked: String) { rawValue = unchecked }
  public static var noun: String { "image" }
}

/// The name of a checkpoint: a moment from which on it is kept what changes in a volume.
public struct CheckpointName: UserName {
  public let rawValue: String
  public init(unchecked: String) { rawValue = unchecked }
  public static var noun: String { "checkpoint" }
}

/// The name of a snapshot: a volume's content at some time.
public struct SnapshotName: UserName {
  public let rawValue: String
  public init(unchecked: String) { rawValue = unchecked }
  public static var noun: String { "snapshot" }
}
