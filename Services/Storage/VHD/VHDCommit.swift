import BlockLayers

extension VHDLayer {
  /// Copies every sector that this file holds into its parent, and makes that durable. Content is the same afterwards
  /// whether read through this file or from the parent, so that this file can be deleted. Safe to repeat after a crash at
  /// any point, from the beginning.
  ///
  /// - Parameters:
  ///   - target: the parent, open for writing; nobody else may be based on it.
  ///   - progress: told bytes done and in all; false cancels.
  /// - Returns: false when cancelled.
  /// - Throws: `parentMismatch` when `target` is not the recorded parent, `misuse` when it is smaller than this file.
  public func commit(
    into target: VHDLayer, progress: (_ done: Int64, _ total: Int64) -> Bool = { _, _ in true }
  ) throws(BlockError) -> Bool {
    guard let map, let recorded = structure.parent?.identity, recorded == target.identity else {
      throw BlockError(.parentMismatch, "\(file.name) is not a child of \(target.file.name)")
    }
    guard target.size >= size else {
      throw BlockError(.misuse, "\(target.file.name) is smaller than \(file.name)")
    }
    try target.requireWritable()
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    defer { buffer.deallocate() }
    for block in 0..<map.count {
      let start = Int64(block) * map.blockSize
      var at = start
      let end = min(start + map.blockSize, size)
      while at < end, let run = try ownRun(map, block, from: at, to: end) {
        try copy(run, to: target, buffer)
        at = run.upperBound
      }
      if !progress(end, size) { return false }
    }
    try target.flush()
    return true
  }

  /// The next range of one block that this file itself holds.
  private func ownRun(_ map: BlockMap, _ block: Int, from: Int64, to end: Int64) throws(BlockError) -> Range<Int64>? {
    lock.lockShared()
    if map.entry(block) != nil, case .unread = map.presence(block) {
      lock.unlock()
      lock.lockExclusive()
      defer { lock.unlock() }
      try loadBitmapLocked(map, block)
      return ownRunLocked(map, block, from: from, to: end)
    }
    defer { lock.unlock() }
    return ownRunLocked(map, block, from: from, to: end)
  }

  private func ownRunLocked(_ map: BlockMap, _ block: Int, from: Int64, to end: Int64) -> Range<Int64>? {
    guard map.entry(block) != nil else { return nil }
    guard case .partial(let bits) = map.presence(block) else { return from..<end }
    let start = Int64(block) * map.blockSize
    var sector = Int((from - start) / 512)
    let last = Int((end - start + 511) / 512)
    while sector < last {
      let run = map.run(bits, from: sector, to: last)
      if run.isThere { return start + Int64(sector) * 512..<min(start + Int64(run.end) * 512, end) }
      sector = run.end
    }
    return nil
  }

  private func copy(
    _ range: Range<Int64>, to target: VHDLayer, _ buffer: UnsafeMutableRawBufferPointer
  ) throws(BlockError) {
    var at = range.lowerBound
    while at < range.upperBound {
      let count = Int(min(Int64(buffer.count), range.upperBound - at))
      let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
      try read(into: piece, at: at)
      try BlockCopy.write(UnsafeRawBufferPointer(piece), to: target, at: at)
      at += Int64(count)
    }
  }
}
