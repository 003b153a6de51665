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
    guard try equalizeLength() else { return nil }
    let extents = unequalExtents
    var copied: Int64 = 0
    let isDone = try forEachPiece(of: extents, progress) { (at, _) throws(BlockError) in
      guard let count = try equalizePiece(at: at) else { return false }
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
  func pair() throws(BlockError) -> Pair? {
    let members = try members()
    guard let second = members.second, state(of: members.first.id) == .inStep, state(of: second.id) == .inStep
    else { return nil }
    return (members.first, second)
  }

  private func equalizeLength() throws(BlockError) -> Bool {
    let held = ranges.lockAll()
    defer { ranges.unlock(held) }
    guard let pair = try pair() else { return false }
    let lengths = try onBoth(pair) { (leg) throws(BlockError) in try leg.file.size() }
    let length = try lengths.first.get()
    if case .success(length) = lengths.second { return true }
    try onSecond(pair) { (leg) throws(BlockError) in try leg.file.truncate(to: length) }
    return true
  }

  private func equalizePiece(at offset: Int64) throws(BlockError) -> Int64? {
    let held = ranges.lock(at: offset, count: Self.copyPiece)
    defer { ranges.unlock(held) }
    guard let pair = try pair() else { return nil }
    let count = Int(min(Self.copyPiece, try pair.first.file.size() - offset))
    guard count > 0 else { return 0 }
    let contents = try contents(of: pair, at: offset, count: count)
    let wanted = try contents.first.get()
    switch contents.second {
    case .failure(let error):
      try expel(pair.second, error)
      throw error
    case .success(let found):
      // Holes are to be at the same places, too.
      if found.isHole || !wanted.isHole, wanted.equals(found) { return 0 }
    }
    try onSecond(pair) { (leg) throws(BlockError) in
      if wanted.isHole {
        try leg.file.punch(at: offset, count: Int64(count))
      } else {
        try leg.file.write(wanted.bytes.content, at: offset)
      }
    }
    return Int64(count)
  }

  /// Changes the leg that is made equal; where that fails it is out.
  private func onSecond(
    _ pair: Pair, _ body: @escaping @Sendable (Leg) throws(BlockError) -> Void
  ) throws(BlockError) {
    if case .failure(let error) = try onOne(pair.second, body) {
      try expel(pair.second, error)
      throw error
    }
  }
}
