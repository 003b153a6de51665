import BlockLayers
import Glibc

extension VHDLayer {
  /// What gets into a bitmap at once: 4 KiB, a byte of the bitmap. libvhdi takes the rest of a byte as set behind a set
  /// bit, so that no byte may be set in part.
  static let cell = 4096

  public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64, flags: WriteFlags) throws(BlockError) {
    try requireWritable()
    try requireRange(offset, Int64(buffer.count), "write")
    if let map {
      var done = 0
      while done < buffer.count {
        let at = offset + Int64(done)
        let inBlock = at & (map.blockSize - 1)
        let count = Int(min(Int64(buffer.count - done), map.blockSize - inBlock))
        let piece = UnsafeRawBufferPointer(rebasing: buffer[done..<done + count])
        try writePiece(map, map.block(at: at), Int(inBlock), piece)
        done += count
      }
    } else {
      try file.write(buffer, at: offset)
    }
    try finish(flags)
  }

  /// Flushes when the flags want it, or when too much waits for a flush.
  @inline(__always)
  private func finish(_ flags: WriteFlags) throws(BlockError) {
    if flags.contains(.forceUnitAccess) {
      try flush()
    } else if let map, map.dirtyItems > Self.dirtyLimit || log?.wantsFlush == true {
      try flush()
    }
  }

  /// Writes a piece of one block.
  @inline(__always)
  private func writePiece(
    _ map: BlockMap, _ block: Int, _ inBlock: Int, _ buffer: UnsafeRawBufferPointer
  ) throws(BlockError) {
    while true {
      lock.lockShared()
      if let data = map.dataOffset(block) {
        switch map.presence(block) {
        case .full:
          defer { lock.unlock() }
          return try file.write(buffer, at: data + Int64(inBlock))
        case .partial(let bits):
          let sectors = inBlock / 512..<(inBlock + buffer.count + 511) / 512
          let isWhole = (inBlock | buffer.count) & (Self.cell - 1) == 0
          let isKnown = isThere(map, bits, sectors)
          if isWhole || isKnown {
            defer { lock.unlock() }
            try file.write(buffer, at: data + Int64(inBlock))
            // After the data: a flush that finds the bit must have the data to sync.
            if !isKnown { note(map, block, bits, sectors) }
            return
          }
          lock.unlock()
          return try writeParts(map, block, inBlock, buffer)
        case .unread: break
        }
      }
      lock.unlock()
      try prepare(map, block)
    }
  }

  private func isThere(
    _ map: BlockMap, _ bits: UnsafeMutablePointer<BlockMap.Word>, _ sectors: Range<Int>
  ) -> Bool {
    let run = map.run(bits, from: sectors.lowerBound, to: sectors.upperBound)
    return run.isThere && run.end == sectors.upperBound
  }

  /// Notes that whole cells are there now.
  private func note(
    _ map: BlockMap, _ block: Int, _ bits: UnsafeMutablePointer<BlockMap.Word>, _ sectors: Range<Int>
  ) {
    // First: whoever finds the bits acknowledges what is written there, and keeps nothing.
    log?.keep(
      .cells(block: UInt32(truncatingIfNeeded: block), first: sectors.lowerBound / 8, count: sectors.count / 8))
    map.set(block, bits, from: sectors.lowerBound, to: sectors.upperBound)
  }

  /// Makes a block ready to be written: its place in the file and its bitmap in memory.
  private func prepare(_ map: BlockMap, _ block: Int) throws(BlockError) {
    lock.lockExclusive()
    defer { lock.unlock() }
    try prepareLocked(map, block)
  }

  private func prepareLocked(_ map: BlockMap, _ block: Int) throws(BlockError) {
    if map.entry(block) == nil {
      try allocate(map, block)
    } else {
      try loadBitmapLocked(map, block)
    }
  }

  /// Puts a new block behind the last one. Without a parent it counts as written with zeros, because other tools ignore
  /// the bitmap there or obey it, as they please.
  private func allocate(_ map: BlockMap, _ block: Int) throws(BlockError) {
    // The data, not the bitmap before it, begins on a page.
    let start = roundUp(end + map.bitmapLength, to: 4096) - map.bitmapLength
    let newEnd = start + map.bitmapLength + map.blockSize
    guard let entry = UInt32(exactly: start / 512), entry != .max else {
      throw BlockError(.tooLarge, "\(file.name): no room behind \(end)")
    }
    // The new footer comes first: it makes the file long enough, with zeros between.
    try file.vhdWrite(structure.footerBytes, at: newEnd)
    if end + 512 > start { try file.punch(at: end, count: 512) }
    if parent == nil {
      try file.vhdWrite([UInt8](repeating: 0xff, count: Int(map.bitmapLength)), at: start)
    }
    end = newEnd
    map.add(block, entry: entry, full: parent == nil)
    log?.keep(.entry(block: UInt32(truncatingIfNeeded: block), sector: entry))
  }

  /// Writes a piece that begins or ends inside of cells that this file does not hold yet: their rest is taken from
  /// below. Alone, or two such writes could lose each other's half.
  private func writeParts(
    _ map: BlockMap, _ block: Int, _ inBlock: Int, _ buffer: UnsafeRawBufferPointer
  ) throws(BlockError) {
    lock.lockExclusive()
    defer { lock.unlock() }
    try prepareLocked(map, block)
    guard let data = map.dataOffset(block) else { throw BlockError(.io, "\(file.name): block \(block) is gone") }
    guard case .partial(let bits) = map.presence(block) else {
      return try file.write(buffer, at: data + Int64(inBlock))
    }
    let end = inBlock + buffer.count
    let sectors = inBlock / Self.cell * 8..<(end + Self.cell - 1) / Self.cell * 8
    var sector = sectors.lowerBound
    while sector < sectors.upperBound {
      let isCovered = sector * 512 >= inBlock && (sector + 1) * 512 <= end
      if !isCovered, !isThere(map, bits, sector..<sector + 1) {
        try copyUp(at: Int64(block) * map.blockSize + Int64(sector * 512), to: data + Int64(sector * 512))
      }
      sector += 1
      // Between the first and the last cell everything is covered.
      if sector % 8 == 0, sector < sectors.upperBound - 8 { sector = sectors.upperBound - 8 }
    }
    try file.write(buffer, at: data + Int64(inBlock))
    note(map, block, bits, sectors)
  }

  private func copyUp(at offset: Int64, to position: Int64) throws(BlockError) {
    let sector = UnsafeMutableRawBufferPointer.allocate(byteCount: 512, alignment: 16)
    defer { sector.deallocate() }
    try readBelow(sector, at: offset)
    try file.write(UnsafeRawBufferPointer(sector), at: position)
  }

  // MARK: Zeros

  public func trim(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    // Above a parent the zeros must be written down: giving up the sectors would reveal the parent's.
    try writeZeroes(at: offset, count: count, flags: flags)
  }

  public func writeZeroes(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    try requireWritable()
    try requireRange(offset, count, "writeZeroes")
    if flags.isSuperset(of: [.keepAllocated, .onlyIfFast]) {
      throw BlockError(.notSupported, "\(file.name): zeros that stay allocated are written as slowly as data")
    }
    guard let map else {
      try zero(at: offset, count: count, flags)
      return try finish(flags)
    }
    var at = offset
    let end = offset + count
    while at < end {
      let inBlock = at & (map.blockSize - 1)
      let piece = min(end - at, map.blockSize - inBlock)
      try zeroPiece(map, map.block(at: at), inBlock, at: at, count: piece, flags)
      at += piece
    }
    try finish(flags)
  }

  private func zero(at position: Int64, count: Int64, _ flags: WriteFlags) throws(BlockError) {
    guard flags.contains(.keepAllocated) else { return try file.punch(at: position, count: count) }
    try Zeros.forEachPiece(at: position, count: count) { (zeros, at) throws(BlockError) in
      try file.write(zeros, at: at)
    }
  }

  /// Zeros in one block.
  private func zeroPiece(
    _ map: BlockMap, _ block: Int, _ inBlock: Int64, at offset: Int64, count: Int64, _ flags: WriteFlags
  ) throws(BlockError) {
    lock.lockShared()
    let isAbsent = map.entry(block) == nil
    lock.unlock()
    if isAbsent, try readsAsZeroBelow(at: offset, count: count) { return }
    // Edges inside of a cell are data to the bitmap.
    let head = min(count, -inBlock & Int64(Self.cell - 1))
    let tail = (inBlock + count) & Int64(Self.cell - 1)
    guard head + tail < count else { return try writeZeroData(map, block, inBlock, count) }
    if head > 0 { try writeZeroData(map, block, inBlock, head) }
    if tail > 0 { try writeZeroData(map, block, inBlock + count - tail, tail) }
    try zeroSectors(map, block, inBlock + head, count - head - tail, flags)
  }

  private func writeZeroData(_ map: BlockMap, _ block: Int, _ inBlock: Int64, _ count: Int64) throws(BlockError) {
    try Zeros.forEachPiece(at: inBlock, count: count) { (zeros, at) throws(BlockError) in
      try writePiece(map, block, Int(at), zeros)
    }
  }

  private func zeroSectors(
    _ map: BlockMap, _ block: Int, _ inBlock: Int64, _ count: Int64, _ flags: WriteFlags
  ) throws(BlockError) {
    while true {
      lock.lockShared()
      if let data = map.dataOffset(block) {
        switch map.presence(block) {
        case .full:
          defer { lock.unlock() }
          return try zero(at: data + inBlock, count: count, flags)
        case .partial(let bits):
          defer { lock.unlock() }
          try zero(at: data + inBlock, count: count, flags)
          let sectors = Int(inBlock / 512)..<Int((inBlock + count) / 512)
          return isThere(map, bits, sectors) ? () : note(map, block, bits, sectors)
        case .unread: break
        }
      }
      lock.unlock()
      try prepare(map, block)
    }
  }

  private func readsAsZeroBelow(at offset: Int64, count: Int64) throws(BlockError) -> Bool {
    guard let parent, offset < parent.size else { return true }
    let end = min(offset + count, parent.size)
    var at = offset
    while at < end {
      let extents = try parent.extents(at: at, count: end - at)
      guard let last = extents.last, last.end > at, extents.allSatisfy(\.readsAsZero) else { return false }
      at = last.end
    }
    return true
  }
}
