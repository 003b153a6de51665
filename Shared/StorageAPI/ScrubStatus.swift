import RPC

/// What the last scrub of a volume or an image found.
public struct ScrubStatus: WireObject, Equatable {
  /// When it ended, in milliseconds since 1970.
  public var endedMilliseconds: Int64
  /// Bytes of the layers' files that were compared on both legs.
  public var checkedBytes: Int64
  /// Bytes that were left out because they were being written; the next scrub looks at them.
  public var skippedBytes: Int64
  /// Blocks of 4 KiB that were wrong or unreadable on leg io0, and were written again from the other one.
  public var repairedBlocksOnIO0: Int
  /// The same on leg io1.
  public var repairedBlocksOnIO1: Int
  /// Blocks that differed where nothing says which leg was right; the one that is read was taken as right.
  public var undecidedBlocks: Int
  /// Blocks that are wrong or unreadable on both legs; they were left as they are.
  public var lostBlocks: Int

  public enum CodingKeys: CodingKey, CaseIterable {
    case endedMilliseconds, checkedBytes, skippedBytes, repairedBlocksOnIO0, repairedBlocksOnIO1, undecidedBlocks,
      lostBlocks
  }

  public static func field(_ key: CodingKeys) -> Field<ScrubStatus> {
    switch key {
    case .endedMilliseconds: Field(\.endedMilliseconds, "When it ended, in milliseconds since 1970.")
    case .checkedBytes: Field(\.checkedBytes, "Bytes of the layers' files that were compared on both legs.")
    case .skippedBytes:
      Field(
        \.skippedBytes, "Bytes that were left out because they were being written; the next scrub looks at them.")
    case .repairedBlocksOnIO0:
      Field(
        \.repairedBlocksOnIO0,
        "Blocks of 4 KiB that were wrong or unreadable on leg io0, and were written again from the other one.")
    case .repairedBlocksOnIO1: Field(\.repairedBlocksOnIO1, "The same on leg io1.")
    case .undecidedBlocks:
      Field(
        \.undecidedBlocks,
        "Blocks that differed where nothing says which leg was right; the one that is read was taken as right.")
    case .lostBlocks:
      Field(\.lostBlocks, "Blocks that are wrong or unreadable on both legs; they were left as they are.")
    }
  }

  public init(
    endedMilliseconds: Int64, checkedBytes: Int64, skippedBytes: Int64, repairedBlocksOnIO0: Int = 0,
    repairedBlocksOnIO1: Int = 0, undecidedBlocks: Int = 0, lostBlocks: Int = 0
  ) {
    self.endedMilliseconds = endedMilliseconds
    self.checkedBytes = checkedBytes
    self.skippedBytes = skippedBytes
    self.repairedBlocksOnIO0 = repairedBlocksOnIO0
    self.repairedBlocksOnIO1 = repairedBlocksOnIO1
    self.undecidedBlocks = undecidedBlocks
    self.lostBlocks = lostBlocks
  }
}
