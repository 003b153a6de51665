import Primitives

/// Reads of cold extents are compared with their checksums, where they have some and whole blocks are read.
///
/// A block that does not fit is looked at again with its range locked: what is cold then has the checksums that both legs
/// keep, or none, since whoever changes a block locks its range, and its extent's checksums are void before it is cold
/// again. So only what changed on a disk by itself is taken for damage. It is answered from the other leg, which heals
/// it; where that is wrong, too, or there is none, the read fails: what nobody wrote is never served.
extension MirroredFile {
  @inline(__always)
  func verify(
    _ buffer: UnsafeMutableRawBufferPointer, at offset: Int64, _ sums: SumCache
  ) throws(BlockError) {
    if fits(UnsafeRawBufferPointer(buffer), at: offset, sums) { return }
    try verifySlowly(buffer, at: offset)
  }

  /// Whether each whole block is what the checksums that are known say.
  private func fits(_ buffer: UnsafeRawBufferPointer, at offset: Int64, _ sums: SumCache) -> Bool {
    var block = (Int(offset) + SumFile.blockBytes - 1) / SumFile.blockBytes
    var start = block * SumFile.blockBytes - Int(offset)
    while start + SumFile.blockBytes <= buffer.count {
      let extent = block / SumFile.extentBlocks
      if extent < IntentRecord.extentLimit - 1, hot.seemsCold(extent),
        let sum = knownSum(extent, block % SumFile.extentBlocks, sums),
        sum != CRC32C.checksum(UnsafeRawBufferPointer(rebasing: buffer[start..<start + SumFile.blockBytes]))
      {
        return false
      }
      block += 1
      start += SumFile.blockBytes
    }
    return true
  }

  @inline(__always)
  private func knownSum(_ extent: Int, _ block: Int, _ sums: SumCache) -> UInt32? {
    switch sums.sum(of: extent, block) {
    case .sum(let sum): sum
    case .none: nil
    case .unknown: loadedSum(extent, block, sums)
    }
  }

  private func loadedSum(_ extent: Int, _ block: Int, _ sums: SumCache) -> UInt32? {
    let moment = sums.moment
    guard isCold(extent), let (first, second) = try? sources(),
      let page = page(of: extent, on: first, isLast: second == nil)
    else { return nil }
    sums.keep(page, of: extent, since: moment)
    return if case .sum(let sum) = sums.sum(of: extent, block) { sum } else { nil }
  }

  /// The checksums that the leg that is read keeps of an extent; nil when it does not answer within the bound, and is out.
  private func page(of extent: Int, on leg: Leg, isLast: Bool) -> SumFile.Page?? {
    guard let file = leg.sums else { return .some(nil) }
    if let page = file.pageWithoutWaiting(of: extent) { return page }
    if isLast { return .some(file.page(of: extent)) }
    let call = begin(leg) { (_) throws(BlockError) in file.page(of: extent) }
    switch calls.outcome(of: call, on: leg.id) {
    case .success(let page)?: return .some(page)
    case .failure?: return nil
    case nil:
      try? expel(leg, lateness(of: leg))
      return nil
    }
  }

  /// The checksum of a block, or of what of it is there at the end of the file; nil where it has none. With the range
  /// locked it is right until that is unlocked.
  func sealedSum(_ offset: Int64, _ count: Int) -> UInt32? {
    let extent = Int(offset / IntentRecord.extentBytes)
    guard extent < IntentRecord.extentLimit - 1, isCold(extent), let (first, second) = try? sources() else {
      return nil
    }
    let page = Self.page(of: extent, first, second)
    return ExpectedSums(page, extent: extent, from: offset).sum(0, count)
  }

  /// Looks again at each whole block, and leaves in the buffer what was written there.
  private func verifySlowly(_ buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    var failures: [ReadFailure] = []
    let block = SumFile.blockBytes
    let first = (block - Int(offset) % block) % block
    for start in stride(from: first, through: buffer.count - block, by: block) {
      let at = offset + Int64(start)
      let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + block])
      if let failure = try verifyBlock(bytes, at: at) { failures.append(failure) }
    }
    for failure in Self.joined(failures) { onReadError(failure) }
    if let lost = failures.first(where: { $0.outcome == .lost }) { throw lost.error }
  }

  /// What was wrong with a block; nil when nothing is.
  private func verifyBlock(
    _ bytes: UnsafeMutableRawBufferPointer, at offset: Int64
  ) throws(BlockError) -> ReadFailure? {
    let held = ranges.lock(at: offset, count: Int64(bytes.count))
    defer { ranges.unlock(held) }
    func fits(_ sum: UInt32) -> Bool { CRC32C.checksum(UnsafeRawBufferPointer(bytes)) == sum }
    guard let sum = sealedSum(offset, bytes.count) else {
      sums?.forget(Int(offset / IntentRecord.extentBytes))
      return nil
    }
    if fits(sum) { return nil }
    let (first, second) = try sources()
    // It may have been read while it was being written.
    if first.reads(bytes, at: offset), fits(sum) { return nil }
    var failure = ReadFailure(
      leg: first.id, error: BlockError(.damaged, "\(name): what is at \(offset) is not what was written"),
      range: offset..<offset + Int64(bytes.count), outcome: .lost)
    guard let second, second.reads(bytes, at: offset), fits(sum) else { return failure }
    do throws(BlockError) {
      try rewrite(first, UnsafeRawBufferPointer(bytes), at: offset)
      try sync(first)
      failure.outcome = .healed
    } catch {
      failure.outcome = .answered
    }
    return failure
  }

  /// Those that lie side by side as one.
  private static func joined(_ failures: [ReadFailure]) -> [ReadFailure] {
    failures.reduce(into: []) { joined, next in
      guard let last = joined.last, last.outcome == next.outcome, last.leg == next.leg,
        last.range.upperBound == next.range.lowerBound
      else { return joined.append(next) }
      joined[joined.count - 1].range = last.range.lowerBound..<next.range.upperBound
    }
  }
}
