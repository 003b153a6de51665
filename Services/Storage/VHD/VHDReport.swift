import BlockLayers

/// What a verification found in a VHD file.
public struct VHDReport: Sendable, Equatable {
  /// What is wrong, or only unusual.
  public struct Finding: Sendable, Hashable {
    public var kind: Kind
    /// Where in the file, in bytes.
    public var offset: Int64
    /// A sentence for people.
    public var message: String
  }

  /// Kinds of findings; stable words.
  public enum Kind: String, Sendable, Hashable, CaseIterable {
    /// Neither footer nor copy is valid, or the header is not: nothing more can be said.
    case unreadable
    /// The footer at the end is missing or damaged; the copy stands for it.
    case footerDamaged
    /// The footer at the end has 511 bytes, as the format's first tools wrote it.
    case footerShort
    /// The copy of the footer at the beginning is damaged or differs.
    case copyDamaged
    /// A table entry points outside of the file, or over the file's structures.
    case entryOutside
    /// A table entry points to what another block takes.
    case entryOverlaps
    /// A block of a file without a parent has sectors that count as not there: other tools disagree about what they hold.
    case bitmapIncomplete
    /// Behind the last block there is more than the footer.
    case trailingGarbage
    /// Space between blocks that nothing refers to.
    case spaceLeaked
  }

  /// At most `limit`, in the order in which they were found.
  public internal(set) var findings: [Finding] = []
  /// Findings there were beyond those.
  public internal(set) var furtherFindings = 0
  /// Blocks that the table has.
  public internal(set) var blocks = 0
  /// Bytes between blocks that nothing refers to.
  public internal(set) var leakedBytes: Int64 = 0

  /// The most findings that are kept.
  public static let limit = 1000

  /// Whether every sector can be read as it was written. Leaked space, garbage behind the end and a damaged copy harm
  /// nobody.
  public var isSound: Bool {
    findings.allSatisfy { ![.unreadable, .entryOutside, .entryOverlaps].contains($0.kind) }
  }

  /// Whether nothing was found.
  public var isClean: Bool { findings.isEmpty }

  mutating func add(_ kind: Kind, at offset: Int64, _ message: String) {
    guard findings.count < Self.limit else { return furtherFindings += 1 }
    findings.append(Finding(kind: kind, offset: offset, message: message))
  }
}
