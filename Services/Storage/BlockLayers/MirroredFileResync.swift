import Primitives

extension MirroredFile {
  /// Bytes that are copied in one piece; the piece's range cannot be written meanwhile.
  public static let copyPiece: Int64 = 1 << 20

  /// Copies a range of the file to a leg that is joining. What is written meanwhile is never overwritten with something
  /// older. Holes stay holes.
  ///
  /// - Throws: the error of the joining leg (which is then out, and was reported like any loss), or of the source.
  public func copy(to leg: LegID, at offset: Int64, count: Int64) throws(BlockError) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(Self.copyPiece), alignment: 4096)
    defer { buffer.deallocate() }
    guard offset >= 0, count >= 0, offset <= largestOffset, count <= largestOffset else {
      throw BlockError(.outOfRange, "copy \(count) bytes at \(offset) in \(name)")
    }
    var at = offset
    let end = offset + count
    while at < end {
      let piece = min(Self.copyPiece - at % Self.copyPiece, end - at)
      try copyPiece(to: leg, at: at, count: piece, buffer)
      at += piece
    }
  }

  /// Copies to a leg that is joining what it misses, and syncs it: from then on it holds what the others hold. The caller
  /// makes the leg's return durable and then calls `setInStep`.
  ///
  /// - Parameter progress: told bytes done and bytes in all after each piece, and before the first; false cancels, the
  ///   leg stays joining.
  /// - Returns: false when cancelled.
  public func resync(
    _ leg: LegID, progress: (_ done: Int64, _ total: Int64) -> Bool = { _, _ in true }
  ) throws(BlockError) -> Bool {
    let missing = missing(on: leg)
    let isDone = try forEachPiece(of: missing, progress) { (at, count) throws(BlockError) in
      try copy(to: leg, at: at, count: count)
      return true
    }
    guard isDone else { return false }
    try flush()
    guard state(of: leg) != .absent else { throw lost(leg) }
    try adopt(leg)
    guard state(of: leg) != .absent else { throw lost(leg) }
    try coolDown()
    return true
  }

  /// Does something with each piece of the extents, or of all; false when `body` or `progress` says so.
  func forEachPiece(
    of extents: ExtentSet?, _ progress: (_ done: Int64, _ total: Int64) -> Bool,
    _ body: (_ offset: Int64, _ count: Int64) throws(BlockError) -> Bool
  ) throws(BlockError) -> Bool {
    var done: Int64 = 0
    // What the file grows by meanwhile goes to both legs.
    let length = try size()
    let ranges = extents?.all.map { IntentRecord.bytes(of: $0, in: length) } ?? [0..<length]
    let total = ranges.reduce(Int64(0)) { $0 + Int64($1.count) }
    guard progress(0, total) else { return false }
    for range in ranges {
      for at in stride(from: range.lowerBound, to: range.upperBound, by: Int(Self.copyPiece)) {
        let count = min(Self.copyPiece, range.upperBound - at)
        guard try body(at, count) else { return false }
        done += count
        guard progress(done, total) else { return false }
      }
    }
    return true
  }

  private func copyPiece(
    to leg: LegID, at offset: Int64, count: Int64, _ buffer: UnsafeMutableRawBufferPointer
  ) throws(BlockError) {
    let held = ranges.lock(at: offset, count: count)
    defer { ranges.unlock(held) }
    // A file that shrank meanwhile has nothing to copy there.
    let count = min(count, try size() - offset)
    guard count > 0 else { return }
    let members = try members()
    let target = members.first.id == leg ? members.first : members.second
    guard let target, target.id == leg, state(of: leg) == .joining else { throw lost(leg) }

    let data = try nextData(at: offset)
    let isHole = data.map { $0.lowerBound >= offset + count } ?? true
    let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(count)])
    if !isHole { try sources().0.gated { (leg) throws(BlockError) in try leg.file.read(into: piece, at: offset) } }
    do throws(BlockError) {
      try target.gated { (target) throws(BlockError) in
        if isHole {
          try target.file.punch(at: offset, count: count)
        } else {
          try target.file.write(UnsafeRawBufferPointer(piece), at: offset)
        }
      }
    } catch {
      try expel(target, error)
      throw error
    }
  }

  private func lost(_ leg: LegID) -> BlockError {
    BlockError(.io, "leg \(leg.rawValue) of \(name) is not joining any more")
  }
}
