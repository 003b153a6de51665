import Primitives

/// What a scrub found and did.
public struct ScrubReport: Sendable, Equatable {
  /// Bytes that were compared on both legs.
  public var checkedBytes: Int64 = 0
  /// Bytes that had no checksums and have now.
  public var sealedBytes: Int64 = 0
  /// Bytes that were left out because they were being written; the next scrub looks at them.
  public var skippedBytes: Int64 = 0
  /// Blocks that were wrong, or unreadable, on one leg and were written again from the other one.
  public var repairedBlocks: [LegID: Int] = [:]
  /// Blocks that differed where nothing says which one is right: the leg that is read was taken as right.
  public var undecidedBlocks = 0
  /// Blocks that are wrong, or unreadable, on both legs; they were left as they are.
  public var lostBlocks = 0

  public init() {}

  /// Whether all was as it should be.
  public var isClean: Bool { repairedBlocks.isEmpty && undecidedBlocks == 0 && lostBlocks == 0 }

  /// Adds what another one found.
  public static func += (sum: inout ScrubReport, other: ScrubReport) {
    sum.checkedBytes += other.checkedBytes
    sum.sealedBytes += other.sealedBytes
    sum.skippedBytes += other.skippedBytes
    sum.repairedBlocks.merge(other.repairedBlocks, uniquingKeysWith: +)
    sum.undecidedBlocks += other.undecidedBlocks
    sum.lostBlocks += other.lostBlocks
  }
}

/// Finding bytes that changed on a disk, and which leg is right.
///
/// Cold extents are compared on both legs and with their checksums, those without get them. Hot ones are left out: what is
/// being written has no checksums.
extension MirroredFile {
  /// Reads both legs, repairs what is wrong on one, and seals what is equal, while others read and write.
  ///
  /// - Parameter progress: told bytes done and bytes in all after each extent; false ends the scrub.
  /// - Returns: what was found so far, or nil when it was ended, or when there are no two legs in step.
  /// - Throws: the error with which a repair failed; that leg is out then, and was reported like any loss.
  public func scrub(
    progress: (_ done: Int64, _ total: Int64) -> Bool = { _, _ in true }
  ) throws(BlockError) -> ScrubReport? {
    let pieces = ScrubPieces()
    var report = ScrubReport()
    let total = try size()
    var at: Int64 = 0
    var extent = 0
    while at < total {
      guard try check(extent, pieces, &report) else { return nil }
      at = IntentRecord.bytes(of: extent, in: total).upperBound
      extent += 1
      guard progress(at, total) else { return nil }
    }
    return report
  }

  /// False when there are no two legs in step.
  private func check(
    _ extent: Int, _ pieces: borrowing ScrubPieces, _ report: inout ScrubReport
  ) throws(BlockError) -> Bool {
    guard beginScrub() else { return false }
    defer { endScrub() }
    return try checkAlone(extent, pieces, &report)
  }

  /// Nothing becomes cold while an extent is scrubbed: what is cold at the end was so all the time, or was written.
  private func beginScrub() -> Bool {
    hot.monitor.locked {
      while hot.isCooling { hot.monitor.wait() }
      guard !hot.isClosed else { return false }
      hot.isCooling = true
      return true
    }
  }

  private func endScrub() {
    hot.monitor.locked {
      hot.isCooling = false
      hot.monitor.wakeAll()
    }
  }

  /// Whether an extent is cold, now and on disk. With a range of it locked it stays so in that range.
  func isCold(_ extent: Int) -> Bool {
    hot.monitor.locked {
      hot.isDurable && !hot.record.isAllHot && !hot.record.hot.contains(extent) && !hot.wanted.contains(extent)
    }
  }

  private func checkAlone(
    _ extent: Int, _ pieces: borrowing ScrubPieces, _ report: inout ScrubReport
  ) throws(BlockError) -> Bool {
    guard let legs = try pair() else { return false }
    let range = IntentRecord.bytes(of: extent, in: try size())
    guard isCold(extent), !range.isEmpty else {
      report.skippedBytes += Int64(range.count)
      return true
    }
    let page = Self.page(of: extent, legs.first, legs.second)
    var sums: [UInt32] = []
    var found = ScrubReport()
    for at in stride(from: range.lowerBound, to: range.upperBound, by: Int(Self.copyPiece)) {
      let held = ranges.lock(at: at, count: Self.copyPiece)
      defer { ranges.unlock(held) }
      let end = min(at + Self.copyPiece, range.upperBound)
      // What was written meanwhile is judged by the next scrub.
      guard isCold(extent), try pair() != nil, try size() >= end else {
        report.skippedBytes += range.upperBound - at
        report += found
        return true
      }
      let expected = ExpectedSums(page, extent: extent, from: at)
      let changed = found.repairedBlocks
      sums += try pieces.check(at: at, count: Int(end - at), legs, expected, self, &found)
      for leg in [legs.first, legs.second] where found.repairedBlocks[leg.id] != changed[leg.id] { try sync(leg) }
    }
    found.checkedBytes = Int64(range.count)
    let sealed = SumFile.Page(coveredBytes: range.count, sums: sums)
    if page?.coveredBytes != range.count, found.lostBlocks == 0, seal(extent, sealed, legs) {
      found.sealedBytes = Int64(range.count)
    }
    report += found
    return true
  }

  /// The checksums of an extent that either leg has; none where they contradict each other.
  static func page(of extent: Int, _ first: Leg, _ second: Leg?) -> SumFile.Page? {
    let (one, two) = (first.sums?.page(of: extent), second?.sums?.page(of: extent))
    guard let one, let two else { return one ?? two }
    return one == two ? one : nil
  }

  /// Keeps the checksums of an extent that is still cold. Without space for them it stays unsealed.
  private func seal(_ extent: Int, _ page: SumFile.Page, _ legs: (first: Leg, second: Leg)) -> Bool {
    guard isCold(extent), let one = legs.first.sums, let two = legs.second.sums else { return false }
    do throws(BlockError) {
      try one.write(page, of: extent)
      try two.write(page, of: extent)
      sums?.forget(extent)
      return true
    } catch {
      return false
    }
  }

  /// Makes durable what was written again on a leg. It must be before its extent becomes hot: after a power cut then
  /// nothing would tell any longer which leg is right.
  func sync(_ leg: Leg) throws(BlockError) {
    let call = begin(leg) { (leg) throws(BlockError) in try leg.file.flush() }
    switch calls.outcome(of: call, on: leg.id) {
    case .success?: return
    case .failure(let error)?:
      try expel(leg, error)
      throw error
    case nil:
      let error = lateness(of: leg)
      try expel(leg, error)
      throw error
    }
  }

  /// Writes what a leg should hold, with the range locked. Not a change: nothing becomes hot.
  func rewrite(_ leg: Leg, _ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    do throws(BlockError) {
      try leg.gated { (leg) throws(BlockError) in try leg.file.write(bytes, at: offset) }
    } catch {
      try expel(leg, error)
      throw error
    }
  }
}

/// The checksums that a page holds for the blocks from an offset on.
struct ExpectedSums {
  private let page: SumFile.Page?
  private let first: Int
  private let start: Int64

  init(_ page: SumFile.Page?, extent: Int, from offset: Int64) {
    self.page = page
    start = Int64(extent) * IntentRecord.extentBytes
    first = Int(offset - start) / SumFile.blockBytes
  }

  /// The checksum of a block of so many bytes; nil when none is known.
  func sum(_ block: Int, _ count: Int) -> UInt32? {
    let index = first + block
    guard let page, index < page.sums.count,
      min(page.coveredBytes - index * SumFile.blockBytes, SumFile.blockBytes) == count
    else { return nil }
    return page.sums[index]
  }
}

/// The buffers of a scrub, and what is done with a piece of both legs in them.
struct ScrubPieces: ~Copyable {
  private let one = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(MirroredFile.copyPiece), alignment: 4096)
  private let two = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(MirroredFile.copyPiece), alignment: 4096)

  deinit {
    one.deallocate()
    two.deallocate()
  }

  /// Checks each block of a piece, whose range is locked, and repairs it. Returns the checksums of what is right.
  func check(
    at offset: Int64, count: Int, _ legs: (first: MirroredFile.Leg, second: MirroredFile.Leg), _ expected: ExpectedSums,
    _ file: MirroredFile, _ report: inout ScrubReport
  ) throws(BlockError) -> [UInt32] {
    let areRead = (read(legs.first, one, at: offset, count), read(legs.second, two, at: offset, count))
    var sums: [UInt32] = []
    for (block, start) in stride(from: 0, to: count, by: SumFile.blockBytes).enumerated() {
      let range = start..<min(start + SumFile.blockBytes, count)
      let at = offset + Int64(start)
      let left = Self.block(legs.first, one, range, at: at, areRead.0)
      let right = Self.block(legs.second, two, range, at: at, areRead.1)
      switch Verdict(left, right, expected: expected.sum(block, range.count)) {
      case .equal(let sum): sums.append(sum)
      case .firstIsRight(let sum, let isDecided):
        try file.rewrite(legs.second, UnsafeRawBufferPointer(rebasing: one[range]), at: at)
        if isDecided {
          report.repairedBlocks[legs.second.id, default: 0] += 1
        } else {
          report.undecidedBlocks += 1
        }
        sums.append(sum)
      case .secondIsRight(let sum):
        try file.rewrite(legs.first, UnsafeRawBufferPointer(rebasing: two[range]), at: at)
        report.repairedBlocks[legs.first.id, default: 0] += 1
        sums.append(sum)
      case .lost:
        report.lostBlocks += 1
        sums.append(0)
      }
    }
    return sums
  }

  private func read(
    _ leg: MirroredFile.Leg, _ buffer: UnsafeMutableRawBufferPointer, at offset: Int64, _ count: Int
  ) -> Bool {
    do throws(BlockError) {
      let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
      try leg.gated { (leg) throws(BlockError) in try leg.file.read(into: piece, at: offset) }
      return true
    } catch {
      return false
    }
  }

  /// The checksum of a block; nil when it cannot be read. A piece that could not be read is read block by block.
  private static func block(
    _ leg: MirroredFile.Leg, _ buffer: UnsafeMutableRawBufferPointer, _ range: Range<Int>, at offset: Int64,
    _ isRead: Bool
  ) -> UInt32? {
    let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[range])
    if !isRead {
      do throws(BlockError) {
        try leg.gated { (leg) throws(BlockError) in try leg.file.read(into: bytes, at: offset) }
      } catch {
        return nil
      }
    }
    return CRC32C.checksum(UnsafeRawBufferPointer(bytes))
  }

  /// What the checksums of a block on both legs mean.
  private enum Verdict {
    case equal(UInt32)
    case firstIsRight(UInt32, isDecided: Bool)
    case secondIsRight(UInt32)
    case lost

    /// - Parameters:
    ///   - first: what the first leg holds; nil when it cannot be read.
    ///   - expected: what both should hold; nil when that is not known.
    init(_ first: UInt32?, _ second: UInt32?, expected: UInt32?) {
      switch (first, second) {
      case (let one?, let two?) where one == two: self = expected == nil || expected == one ? .equal(one) : .lost
      case (let one?, _) where one == expected: self = .firstIsRight(one, isDecided: true)
      case (_, let two?) where two == expected: self = .secondIsRight(two)
      case (nil, let two?) where expected == nil: self = .secondIsRight(two)
      case (let one?, nil) where expected == nil: self = .firstIsRight(one, isDecided: true)
      case (let one?, _) where expected == nil: self = .firstIsRight(one, isDecided: false)
      default: self = .lost
      }
    }
  }
}
