import Glibc
import Primitives

extension MirroredFile {
  /// Compares the two legs in step where they may differ, and copies to the second what differs from the first, while
  /// others read and write.
  ///
  /// For after a crash: what was being written then may have reached one leg and not the other.
  ///
  /// - Parameter progress: told bytes compared and bytes to compare before the first piece and after each; false ends the
  ///   comparison.
  /// - Returns: bytes that were copied, or nil when it was ended, or when there are no two legs in step.
  /// - Throws: the error of a leg; where the second failed it is out then, and was reported like any loss.
  public func equalize(
    progress: (_ done: Int64, _ total: Int64) -> Bool = { _, _ in true }
  ) throws(BlockError) -> Int64? {
    let one = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(Self.copyPiece), alignment: 4096)
    let two = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(Self.copyPiece), alignment: 4096)
    defer {
      one.deallocate()
      two.deallocate()
    }
    guard try equalizeLength() else { return nil }
    let extents = unequalExtents
    var copied: Int64 = 0
    let isDone = try forEachPiece(of: extents, progress) { (at, _) throws(BlockError) in
      guard let count = try equalizePiece(at: at, one, two) else { return false }
      copied += count
      return true
    }
    guard isDone else { return nil }
    try flush()
    guard try pair() != nil else { return nil }
    setCompared(extents)
    try coolDown()
    return copied
  }

  /// The two legs in step, the one that is read first.
  func pair() throws(BlockError) -> (first: Leg, second: Leg)? {
    let members = try members()
    guard let second = members.second, state(of: members.first.id) == .inStep, state(of: second.id) == .inStep
    else { return nil }
    return (members.first, second)
  }

  private func equalizeLength() throws(BlockError) -> Bool {
    let held = ranges.lockAll()
    defer { ranges.unlock(held) }
    guard let pair = try pair() else { return false }
    let length = try pair.first.gated { (leg) throws(BlockError) in try leg.file.size() }
    do throws(BlockError) {
      try pair.second.gated { (leg) throws(BlockError) in
        if try leg.file.size() != length { try leg.file.truncate(to: length) }
      }
    } catch {
      try expel(pair.second, error)
      throw error
    }
    return true
  }

  private func equalizePiece(
    at offset: Int64, _ one: UnsafeMutableRawBufferPointer, _ two: UnsafeMutableRawBufferPointer
  ) throws(BlockError) -> Int64? {
    let held = ranges.lock(at: offset, count: Self.copyPiece)
    defer { ranges.unlock(held) }
    guard let pair = try pair() else { return nil }
    let count = Int(min(Self.copyPiece, try pair.first.file.size() - offset))
    guard count > 0 else { return 0 }
    let wanted = UnsafeMutableRawBufferPointer(rebasing: one[..<count])
    let found = UnsafeMutableRawBufferPointer(rebasing: two[..<count])
    let isHole = try pair.first.file.isHole(at: offset, count: Int64(count))
    if !isHole {
      try pair.first.gated { (leg) throws(BlockError) in try leg.file.read(into: wanted, at: offset) }
    }
    do throws(BlockError) {
      return try pair.second.gated { (leg) throws(BlockError) in
        if isHole {
          if try leg.file.isHole(at: offset, count: Int64(count)) { return 0 }
          try leg.file.punch(at: offset, count: Int64(count))
          return Int64(count)
        }
        try leg.file.read(into: found, at: offset)
        guard let left = wanted.baseAddress, let right = found.baseAddress, memcmp(left, right, count) != 0 else {
          return 0
        }
        try leg.file.write(UnsafeRawBufferPointer(wanted), at: offset)
        return Int64(count)
      }
    } catch {
      try expel(pair.second, error)
      throw error
    }
  }
}

extension ByteFile {
  fileprivate func isHole(at offset: Int64, count: Int64) throws(BlockError) -> Bool {
    guard let data = try nextData(at: offset) else { return true }
    return data.lowerBound >= offset + count
  }
}
