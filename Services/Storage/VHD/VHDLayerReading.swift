import BlockLayers
import Glibc

extension VHDLayer {
  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try requireOpen()
    try requireRange(offset, Int64(buffer.count), "read")
    try read(into: buffer, at: offset, stepwise: false)
  }

  /// Reads what lies inside.
  ///
  /// - Parameter stepwise: goes from each layer to the one below it, without what is known of them.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64, stepwise: Bool) throws(BlockError) {
    guard let map else { return try file.read(into: buffer, at: offset) }
    var done = 0
    while done < buffer.count {
      let at = offset + Int64(done)
      let inBlock = at & (map.blockSize - 1)
      let count = Int(min(Int64(buffer.count - done), map.blockSize - inBlock))
      let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
      try readPiece(map, map.block(at: at), Int(inBlock), piece, at, stepwise)
      done += count
    }
  }

  /// Reads a piece of one block.
  @inline(__always)
  private func readPiece(
    _ map: BlockMap, _ block: Int, _ inBlock: Int, _ buffer: UnsafeMutableRawBufferPointer, _ offset: Int64,
    _ stepwise: Bool
  ) throws(BlockError) {
    if isReadOnly {
      // The way of most reads in a chain: down through layers that do not change any more.
      switch map.glance(block, inBlock, buffer.count) {
      case .here(let data): return try file.read(into: buffer, at: data)
      case .absent: return try readBelow(buffer, at: offset, stepwise)
      case .unclear: break
      }
    }
    while true {
      lock.lockShared()
      guard let data = map.dataOffset(block) else {
        lock.unlock()
        return try readBelow(buffer, at: offset, stepwise)
      }
      switch map.presence(block) {
      case .full:
        defer { lock.unlock() }
        return try file.read(into: buffer, at: data + Int64(inBlock))
      case .partial(let bits):
        defer { lock.unlock() }
        let sectors = inBlock / 512..<(inBlock + buffer.count + 511) / 512
        var sector = sectors.lowerBound
        while sector < sectors.upperBound {
          let run = map.run(bits, from: sector, to: sectors.upperBound)
          let from = max(sector * 512 - inBlock, 0)
          let to = min(run.end * 512 - inBlock, buffer.count)
          let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[from..<to])
          if run.isThere {
            try file.read(into: piece, at: data + Int64(inBlock + from))
          } else {
            try readBelow(piece, at: offset + Int64(from), stepwise)
          }
          sector = run.end
        }
        return
      case .unread:
        lock.unlock()
        try loadBitmap(map, block)
      }
    }
  }

  /// Reads what this file does not hold. A parent may be smaller: behind its end there are zeros.
  func readBelow(
    _ buffer: UnsafeMutableRawBufferPointer, at offset: Int64, _ stepwise: Bool = false
  ) throws(BlockError) {
    var inParent = 0
    if let parent, offset < parent.size {
      inParent = Int(min(Int64(buffer.count), parent.size - offset))
      let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<inParent])
      if !stepwise, let owners {
        try owners.read(into: piece, at: offset)
      } else if stepwise, let layer = parent as? VHDLayer {
        try layer.requireOpen()
        try layer.read(into: piece, at: offset, stepwise: true)
      } else {
        try parent.read(into: piece, at: offset)
      }
    }
    if inParent < buffer.count, let base = buffer.baseAddress {
      memset(base + inParent, 0, buffer.count - inParent)
    }
  }

  /// Reads what this file holds.
  @inline(__always)
  func readOwn(_ buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    guard let map else { return try file.read(into: buffer, at: offset) }
    guard let data = map.dataOffset(map.block(at: offset)) else {
      throw BlockError(.io, "\(file.name) holds nothing at \(offset)")
    }
    try file.read(into: buffer, at: data + (offset & (map.blockSize - 1)))
  }

  /// How much of a block a file holds.
  enum Holding { case nothing, all, some }

  /// What a file that is only read holds of a block; in the last case its bitmap is copied, whole words, the first sector in
  /// the highest bit.
  func holding(_ block: Int, _ bitmap: UnsafeMutablePointer<UInt64>) throws(BlockError) -> Holding {
    try requireOpen()
    guard let map else { return .all }
    guard block < map.count, map.entry(block) != nil else { return .nothing }
    while true {
      if let isWhole = map.copyBitmap(block, to: bitmap) { return isWhole ? .all : .some }
      try loadBitmap(map, block)
    }
  }

  /// Reads the bitmap of a block into memory, unless another thread did.
  func loadBitmap(_ map: BlockMap, _ block: Int) throws(BlockError) {
    lock.lockExclusive()
    defer { lock.unlock() }
    try loadBitmapLocked(map, block)
  }

  /// The same with the lock held exclusively.
  func loadBitmapLocked(_ map: BlockMap, _ block: Int) throws(BlockError) {
    guard case .unread = map.presence(block), let data = map.dataOffset(block) else { return }
    if !isWritingMetadata { map.evict(limit: Self.bitmapLimit) }
    map.loadBitmap(block, try file.vhdBytes(at: data - map.bitmapLength, count: Int(map.bitmapLength)))
  }

  public func extents(at offset: Int64, count: Int64) throws(BlockError) -> [Extent] {
    try requireOpen()
    try requireRange(offset, count, "extents")
    guard let map else { return try fixedExtents(at: offset, count: count) }
    var extents: [Extent] = []
    var at = offset
    let end = offset + count
    while at < end {
      let inBlock = at & (map.blockSize - 1)
      let piece = min(end - at, map.blockSize - inBlock)
      guard try appendExtents(map, &extents, map.block(at: at), at: at, count: piece) else { break }
      at += piece
    }
    return extents
  }

  /// The extents of a piece of one block. False when the limit is reached.
  private func appendExtents(
    _ map: BlockMap, _ extents: inout [Extent], _ block: Int, at offset: Int64, count: Int64
  ) throws(BlockError) -> Bool {
    while true {
      lock.lockShared()
      guard map.entry(block) != nil else {
        lock.unlock()
        return try appendBelow(&extents, at: offset, count: count)
      }
      switch map.presence(block) {
      case .full:
        lock.unlock()
        return extents.appendMerging(Extent(offset: offset, count: count, isAllocated: true, readsAsZero: false))
      case .partial(let bits):
        defer { lock.unlock() }
        let inBlock = offset & (map.blockSize - 1)
        let lastSector = Int((inBlock + count + 511) / 512)
        var sector = Int(inBlock / 512)
        while sector < lastSector {
          let run = map.run(bits, from: sector, to: lastSector)
          let from = max(Int64(sector) * 512, inBlock)
          let to = min(Int64(run.end) * 512, inBlock + count)
          let at = offset - inBlock + from
          if run.isThere {
            let extent = Extent(offset: at, count: to - from, isAllocated: true, readsAsZero: false)
            guard extents.appendMerging(extent) else { return false }
          } else {
            guard try appendBelow(&extents, at: at, count: to - from) else { return false }
          }
          sector = run.end
        }
        return true
      case .unread:
        lock.unlock()
        try loadBitmap(map, block)
      }
    }
  }

  private func appendBelow(_ extents: inout [Extent], at offset: Int64, count: Int64) throws(BlockError) -> Bool {
    var at = offset
    let end = offset + count
    if let parent {
      let parentEnd = min(end, parent.size)
      while at < parentEnd {
        let below = try parent.extents(at: at, count: parentEnd - at)
        guard let last = below.last, last.end > at else { throw BlockError(.damaged, "\(file.name): parent's extents") }
        for extent in below {
          guard extents.appendMerging(extent) else { return false }
        }
        at = last.end
      }
    }
    guard at < end else { return true }
    return extents.appendMerging(Extent(offset: at, count: end - at, isAllocated: false, readsAsZero: true))
  }

  private func fixedExtents(at offset: Int64, count: Int64) throws(BlockError) -> [Extent] {
    var extents: [Extent] = []
    var at = offset
    let end = offset + count
    while at < end {
      let data = try file.nextData(at: at)
      let start = min(data?.lowerBound ?? end, end)
      if start > at {
        let hole = Extent(offset: at, count: start - at, isAllocated: false, readsAsZero: true)
        guard extents.appendMerging(hole) else { break }
      }
      let stop = min(data?.upperBound ?? end, end)
      if stop > start {
        let used = Extent(offset: start, count: stop - start, isAllocated: true, readsAsZero: false)
        guard extents.appendMerging(used) else { break }
      }
      at = max(stop, start)
    }
    return extents
  }
}
