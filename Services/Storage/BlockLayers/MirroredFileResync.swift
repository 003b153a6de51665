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

  /// Copies everything to a leg that is joining, and syncs it. The caller makes the leg's return durable and then calls
  /// `setInStep`.
  ///
  /// - Parameter progress: told bytes done and bytes in all after each piece; false cancels, the leg stays joining.
  /// - Returns: false when cancelled.
  public func resync(
    _ leg: LegID, progress: (_ done: Int64, _ total: Int64) -> Bool = { _, _ in true }
  ) throws(BlockError) -> Bool {
    var at: Int64 = 0
    // The length is asked again after each piece: the file may have grown, and what it grew by went to both legs.
    while true {
      let total = try size()
      guard at < total else { break }
      let piece = min(Self.copyPiece, total - at)
      try copy(to: leg, at: at, count: piece)
      at += piece
      guard progress(at, total) else { return false }
    }
    try flush()
    guard state(of: leg) != .absent else { throw lost(leg) }
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
    if !isHole { try read(into: piece, at: offset) }
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
