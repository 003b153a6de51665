import BlockLayers

/// Which flushes have begun and ended: a caller is served by any flush that began after its call.
struct FlushState {
  var begun: UInt64 = 0
  var ended: UInt64 = 0
  var isRunning = false
  /// A sync that failed has lost what it should have written: no later one can vouch for it.
  var failure: BlockError?
}

extension VHDLayer {
  public func flush() throws(BlockError) {
    try requireOpen()
    if isReadOnly { return }
    flushMonitor.lock()
    let needed = flushing.begun + 1
    while flushing.failure == nil, flushing.ended < needed, flushing.isRunning { flushMonitor.wait() }
    if let failure = flushing.failure {
      flushMonitor.unlock()
      throw failure
    }
    if flushing.ended >= needed { return flushMonitor.unlock() }
    flushing.begun += 1
    flushing.isRunning = true
    let number = flushing.begun
    flushMonitor.unlock()

    var failure: BlockError?
    do throws(BlockError) { try flushOnce() } catch { failure = error }

    flushMonitor.lock()
    flushing.isRunning = false
    flushing.ended = number
    flushing.failure = failure
    flushMonitor.wakeAll()
    flushMonitor.unlock()
    if let failure { throw failure }
  }

  /// Data, sync, table and bitmaps, sync.
  private func flushOnce() throws(BlockError) {
    guard let map else { return try file.flush() }
    // With nobody in a write, every bit that is taken has its data in the file before the sync below.
    lock.lockExclusive()
    let dirty = map.takeDirty()
    let retired = log?.retire()
    isWritingMetadata = true
    lock.unlock()
    var failure: BlockError?
    do throws(BlockError) {
      try file.flush()
      if !dirty.isEmpty {
        try write(map, dirty)
        try file.flush()
      }
    } catch {
      failure = error
    }
    lock.lockExclusive()
    isWritingMetadata = false
    if failure != nil {
      map.restoreDirty(dirty)
    } else if let retired {
      log?.forget(retired)
    }
    map.evict(limit: Self.bitmapLimit)
    lock.unlock()
    if let failure { throw failure }
  }

  /// Writes exactly what was taken: a newer entry next to it must not get to the disk before its data.
  private func write(_ map: BlockMap, _ dirty: BlockMap.Dirty) throws(BlockError) {
    for (block, bytes) in dirty.bitmaps {
      guard let data = map.dataOffset(Int(block)) else { continue }
      try file.vhdWrite(bytes, at: data - map.bitmapLength)
    }
    guard let table = structure.header?.tableOffset else { return }
    var index = 0
    while index < dirty.entries.count {
      let first = dirty.entries[index].block
      var bytes: [UInt8] = []
      while index < dirty.entries.count, dirty.entries[index].block == first + UInt32(bytes.count / 4) {
        bytes += [0, 0, 0, 0]
        bytes.put(dirty.entries[index].entry, at: bytes.count - 4)
        index += 1
      }
      try file.vhdWrite(bytes, at: table + 4 * Int64(first))
    }
  }
}
