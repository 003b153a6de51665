import Primitives

/// What went wrong with a read on a leg.
public struct ReadFailure: Sendable, Equatable {
  /// What came of it.
  public enum Outcome: Sendable, Hashable {
    /// The other leg answered, and the leg was written again from it.
    case healed
    /// The other leg answered; the leg could not be written again. If that was because it failed, it is out.
    case answered
    /// No leg holds what was written, or can read it: the read failed.
    case lost
  }

  /// The leg that failed; the one that is read first where both did.
  public var leg: LegID
  /// Why; `damaged` where it read something else than what was written.
  public var error: BlockError
  /// The bytes of the file that it is about.
  public var range: Range<Int64>
  public var outcome: Outcome
}

/// Reads: from the preferred leg in step, and where that fails, from the other one, after which the first is healed.
extension MirroredFile {
  public func size() throws(BlockError) -> Int64 {
    try reading { (leg, _) throws(BlockError) in try leg.file.size() }
  }

  /// - Throws: what a leg failed with, where there is no other; `damaged` where what is on every leg is not what was
  ///   written.
  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try reading(offset, buffer.count) { (leg, isLast) throws(BlockError) in
      try read(leg, into: buffer, at: offset, isLast)
    }
    if let sums { try verify(buffer, at: offset, sums) }
  }

  public func nextData(at offset: Int64) throws(BlockError) -> Range<Int64>? {
    try reading { (leg, _) throws(BlockError) in try leg.file.nextData(at: offset) }
  }

  /// Waits for the disk of a leg no longer than the bound, as long as there is another one: a leg that takes longer is out.
  @inline(__always)
  private func read(
    _ leg: Leg, into buffer: UnsafeMutableRawBufferPointer, at offset: Int64, _ isLast: Bool
  ) throws(BlockError) {
    if isLast { return try leg.file.read(into: buffer, at: offset) }
    if try !leg.file.readWithoutWaiting(into: buffer, at: offset) { try readInTime(leg, into: buffer, at: offset) }
  }

  private func readInTime(
    _ leg: Leg, into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
  ) throws(BlockError) {
    if try readOnce(leg, into: buffer, at: offset) { return }
    // A read that hangs changes nothing: it may be repeated.
    if leg.takesOtherPath(), try readOnce(leg, into: buffer, at: offset) { return }
    let error = lateness(of: leg)
    try expel(leg, error)
    throw error
  }

  /// False when the leg does not answer within the bound.
  private func readOnce(
    _ leg: Leg, into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
  ) throws(BlockError) -> Bool {
    let copy = CallBuffer(count: buffer.count)
    let call = begin(leg) { (leg) throws(BlockError) in try leg.file.read(into: copy.bytes, at: offset) }
    guard let outcome = calls.outcome(of: call, on: leg.id) else { return false }
    try outcome.get()
    buffer.copyMemory(from: copy.content)
    return true
  }

  /// Asks the preferred leg in step and, where that fails, the other one.
  @inline(__always)
  private func reading<T>(
    _ offset: Int64 = 0, _ count: Int = 0, _ body: (_ leg: Leg, _ isLast: Bool) throws(BlockError) -> T
  ) throws(BlockError) -> T {
    let (first, second) = try sources()
    let failure: BlockError
    do throws(BlockError) {
      return try first.gated { (leg) throws(BlockError) in try body(leg, second == nil) }
    } catch {
      failure = error
    }
    guard let second, failure.kind != .outOfRange else { throw failure }
    let value: T
    do throws(BlockError) {
      value = try second.gated { (leg) throws(BlockError) in try body(leg, true) }
    } catch {
      if count > 0, failure.kind == .io, error.kind == .io { tell(.lost, first, failure, offset, count) }
      // The second leg may be the one that is gone: its failure says less than the first one's.
      throw failure
    }
    heal(first, from: second, offset, count, after: failure)
    return value
  }

  /// The legs in step, the preferred one first.
  @inline(__always)
  func sources() throws(BlockError) -> (Leg, Leg?) {
    monitor.lock()
    defer { monitor.unlock() }
    let one = legs[preferred]
    let other = legs[preferred.other]
    if let one, one.isInStep { return (one.leg, other.flatMap { $0.isInStep ? $0.leg : nil }) }
    if let other, other.isInStep { return (other.leg, nil) }
    throw BlockError(.io, "\(name) has no leg in step")
  }

  // MARK: Healing

  /// Has a leg hold again what it failed to read, and tells of it. A leg that cannot be written fails as by any write.
  private func heal(_ bad: Leg, from good: Leg, _ offset: Int64, _ count: Int, after error: BlockError) {
    guard error.kind != .shot, error.kind != .closed else { return }
    let start = max(offset, 0) / Int64(SumFile.blockBytes) * Int64(SumFile.blockBytes)
    var isHealed = count > 0
    if count > 0 {
      // Whole blocks: a disk writes again what it cannot read only where nothing of it is kept.
      let end = (offset + Int64(count) - 1) / Int64(SumFile.blockBytes) * Int64(SumFile.blockBytes)
      let block = UnsafeMutableRawBufferPointer.allocate(byteCount: SumFile.blockBytes, alignment: 4096)
      defer { block.deallocate() }
      for at in stride(from: start, through: end, by: SumFile.blockBytes) where isHealed {
        do throws(BlockError) { isHealed = try heal(bad, from: good, at, block) } catch { isHealed = false }
      }
    }
    tell(isHealed ? .healed : .answered, bad, error, offset, count)
  }

  private func tell(
    _ outcome: ReadFailure.Outcome, _ leg: Leg, _ error: BlockError, _ offset: Int64, _ count: Int
  ) {
    let start = min(max(offset, 0), largestOffset)
    let range = start..<start + Int64(max(count, 0))
    onReadError(ReadFailure(leg: leg.id, error: error, range: range, outcome: outcome))
  }

  /// One block; false when the legs are not what they were, or the good one's block is not good.
  private func heal(
    _ bad: Leg, from good: Leg, _ offset: Int64, _ block: UnsafeMutableRawBufferPointer
  ) throws(BlockError) -> Bool {
    let held = ranges.lock(at: offset, count: Int64(block.count))
    defer { ranges.unlock(held) }
    let (first, second) = try sources()
    guard first === bad, second === good else { return false }
    let count = Int(min(Int64(block.count), try good.file.size() - offset))
    guard count > 0 else { return true }
    let bytes = UnsafeMutableRawBufferPointer(rebasing: block[..<count])
    if isReadable(bad, bytes, at: offset) { return true }
    try good.gated { (leg) throws(BlockError) in try leg.file.read(into: bytes, at: offset) }
    if let sum = sealedSum(offset, count), sum != CRC32C.checksum(UnsafeRawBufferPointer(bytes)) { return false }
    // A leg that did not answer is out: it is not waited for again.
    guard state(of: bad.id) == .inStep else { return false }
    try rewrite(bad, UnsafeRawBufferPointer(bytes), at: offset)
    try sync(bad)
    guard isReadable(bad, bytes, at: offset) else {
      let error = BlockError(.io, "\(bad.file.name) cannot be read at \(offset) after it was written again")
      try expel(bad, error)
      return false
    }
    return true
  }

  /// Whether a leg can read this, within the bound.
  private func isReadable(_ leg: Leg, _ buffer: UnsafeMutableRawBufferPointer, at offset: Int64) -> Bool {
    do throws(BlockError) {
      try readInTime(leg, into: buffer, at: offset)
      return true
    } catch {
      return false
    }
  }
}

extension MirroredFile.Leg {
  /// Whether this can be read.
  func reads(_ buffer: UnsafeMutableRawBufferPointer, at offset: Int64) -> Bool {
    do throws(BlockError) {
      try gated { (leg) throws(BlockError) in try leg.file.read(into: buffer, at: offset) }
      return true
    } catch {
      return false
    }
  }
}
