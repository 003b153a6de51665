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
  /// - Returns: what was found, or nil when it was ended, or when there are no two legs in step.
  /// - Throws: the error with which a repair failed; that leg is out then, and was reported like any loss.
  public func scrub(
    progress: (_ done: Int64, _ total: Int64) -> Bool = { _, _ in true }
  ) throws(BlockError) -> ScrubReport? {
    var report = ScrubReport()
    return try scrub(from: 0, into: &report) { done, total, _ in progress(done, total) } ? report : nil
  }

  /// The same from a byte on, with what is found added to a report, also where it is not gone through with.
  ///
  /// - Parameters:
  ///   - start: where to begin, from the beginning of its extent on.
  ///   - progress: told bytes done, bytes in all, and what was found so far, after each extent; false ends the scrub.
  /// - Returns: false when it was ended, or when there are no two legs in step.
  public func scrub(
    from start: Int64, into report: inout ScrubReport,
    progress: (_ done: Int64, _ total: Int64, _ found: ScrubReport) -> Bool
  ) throws(BlockError) -> Bool {
    let total = try size()
    guard start >= 0, start < total else { return true }
    var extent = Int(start / IntentRecord.extentBytes)
    var at = Int64(extent) * IntentRecord.extentBytes
    while at < total {
      guard try check(extent, &report) else { return false }
      at = IntentRecord.bytes(of: extent, in: total).upperBound
      extent += 1
      guard progress(at, total, report) else { return false }
    }
    return true
  }

  /// False when there are no two legs in step.
  private func check(_ extent: Int, _ report: inout ScrubReport) throws(BlockError) -> Bool {
    guard beginScrub() else { return false }
    defer { endScrub() }
    return try checkAlone(extent, &report)
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

  private func checkAlone(_ extent: Int, _ report: inout ScrubReport) throws(BlockError) -> Bool {
    guard let legs = try pair() else { return false }
    let range = IntentRecord.bytes(of: extent, in: try size())
    guard isCold(extent), !range.isEmpty else {
      report.skippedBytes += Int64(range.count)
      return true
    }
    let page = try page(of: extent, on: legs)
    var sums: [UInt32] = []
    // What was repaired counts also where the rest of the extent fails.
    var found = ScrubReport()
    defer { report += found }
    for at in stride(from: range.lowerBound, to: range.upperBound, by: Int(Self.copyPiece)) {
      let held = ranges.lock(at: at, count: Self.copyPiece)
      defer { ranges.unlock(held) }
      let end = min(at + Self.copyPiece, range.upperBound)
      // What was written meanwhile is judged by the next scrub.
      guard isCold(extent), try pair() != nil, try size() >= end else {
        found.skippedBytes += range.upperBound - at
        return true
      }
      let piece = ScrubPiece(offset: at, count: Int(end - at), expected: ExpectedSums(page, extent: extent, from: at))
      let changed = found.repairedBlocks
      sums += try check(piece, legs, &found)
      for leg in [legs.first, legs.second] where found.repairedBlocks[leg.id] != changed[leg.id] { try sync(leg) }
    }
    found.checkedBytes = Int64(range.count)
    let sealed = SumFile.Page(coveredBytes: range.count, sums: sums)
    if page?.coveredBytes != range.count, found.lostBlocks == 0, try seal(extent, sealed, legs) {
      found.sealedBytes = Int64(range.count)
    }
    return true
  }

  /// The checksums of an extent that either leg has; none where they contradict each other.
  static func page(of extent: Int, _ first: Leg, _ second: Leg?) -> SumFile.Page? {
    let (one, two) = (first.sums?.page(of: extent), second?.sums?.page(of: extent))
    guard let one, let two else { return one ?? two }
    return one == two ? one : nil
  }

  /// The same, for a scrub.
  private func page(of extent: Int, on legs: Pair) throws(BlockError) -> SumFile.Page? {
    let pages = try onBoth(legs) { (leg) throws(BlockError) in leg.sums?.page(of: extent) }
    let (one, two) = (try? pages.first.get(), try? pages.second.get())
    guard let one, let two else { return one ?? two }
    return one == two ? one : nil
  }

  /// Keeps the checksums of an extent that is still cold. Without space for them it stays unsealed.
  private func seal(_ extent: Int, _ page: SumFile.Page, _ legs: Pair) throws(BlockError) -> Bool {
    guard isCold(extent), legs.first.sums != nil, legs.second.sums != nil else { return false }
    let written = try onBoth(legs) { (leg) throws(BlockError) in try leg.sums?.write(page, of: extent) }
    guard case (.success, .success) = (written.first, written.second) else { return false }
    sums?.forget(extent)
    return true
  }

  /// Makes durable what was written again on a leg. It must be before its extent becomes hot: after a power cut then
  /// nothing would tell any longer which leg is right.
  func sync(_ leg: Leg) throws(BlockError) {
    let outcome = try onOne(leg) { (leg) throws(BlockError) in try leg.file.flush() }
    if case .failure(let error) = outcome {
      try expel(leg, error)
      throw error
    }
  }

  /// Writes what a leg should hold, with the range locked. Not a change: nothing becomes hot.
  func rewrite(_ leg: Leg, _ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    let copy = CallBuffer(bytes)
    let outcome = try onOne(leg) { (leg) throws(BlockError) in try leg.file.write(copy.content, at: offset) }
    if case .failure(let error) = outcome {
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
