import BlockLayers
import Glibc

extension NBDTransmission {
  @inline(__always)
  mutating func read(_ request: Request) throws(NBDEnd) {
    if let objection = request.objection { return try fail(request, objection) }
    if request.count <= Self.usualPayload {
      _ = try readPiece(request, at: request.offset, count: request.count, isLast: true)
      return
    }
    guard agreement.structuredReplies else { return try readWhole(request) }
    if request.flags & NBD.CommandFlag.dontFragment != 0 {
      return try fail(request, NBDObjection(.overflow, "longer than what is sent unfragmented"))
    }
    var at = request.offset
    let end = request.offset + Int64(request.count)
    while at < end {
      let count = min(Int(end - at), Self.usualPayload)
      guard try readPiece(request, at: at, count: count, isLast: at + Int64(count) == end) else { return }
      at += Int64(count)
    }
  }

  /// Reads straight into the answer. False when that failed, which is then the last that is said of the request.
  @inline(__always)
  private mutating func readPiece(_ request: Request, at offset: Int64, count: Int, isLast: Bool) throws(NBDEnd) -> Bool
  {
    try output.reserve(count + 64)
    let before = output.count
    if agreement.structuredReplies {
      output.putChunk(request.cookie, NBD.Chunk.offsetData, isLast: isLast, length: 8 + count)
      output.put(UInt64(bitPattern: offset))
    } else {
      output.putSuccess(request.cookie)
    }
    let target = UnsafeMutableRawBufferPointer(start: output.buffer + output.count, count: count)
    do throws(BlockError) {
      try device.read(into: target, at: offset)
      output.count += count
      return true
    } catch {
      output.count = before
      try fail(request, error)
      return false
    }
  }

  /// A large simple answer: it must be in one piece, for it begins with whether it failed.
  private mutating func readWhole(_ request: Request) throws(NBDEnd) {
    try output.send()
    try largeReads.take(request.count, for: connection)
    defer { largeReads.give(request.count) }
    let head = NBDAnswer.success(request.cookie)
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: head.count + request.count, alignment: 4096)
    defer { bytes.deallocate() }
    bytes.copyBytes(from: head)
    do throws(BlockError) {
      try device.read(into: UnsafeMutableRawBufferPointer(rebasing: bytes[head.count...]), at: request.offset)
    } catch {
      return try fail(request, error)
    }
    // Others may wait for the memory that this answer takes.
    connection.limitClient(seconds: limits.largeReadSeconds)
    try connection.send(UnsafeRawBufferPointer(bytes))
    connection.limitClient(seconds: nil)
  }

  /// Reads ahead, so that the system has in memory what the client will ask for; of a long range only the beginning.
  mutating func cache(_ request: Request) throws(NBDEnd) {
    if let objection = request.objection { return try fail(request, objection) }
    // The buffer of the answers is free as long as there are none.
    try output.send()
    try output.reserve(min(request.count, Self.usualPayload))
    var at = request.offset
    let end = request.offset + Int64(min(request.count, limits.cacheBytes))
    do throws(BlockError) {
      while at < end, !connection.isFenced.load(ordering: .sequentiallyConsistent) {
        let count = min(Int(end - at), Self.usualPayload)
        try device.read(into: UnsafeMutableRawBufferPointer(start: output.buffer, count: count), at: at)
        at += Int64(count)
      }
    } catch {
      return try fail(request, error)
    }
    try output.reserve(NBD.Chunk.headerLength)
    output.putSuccess(request.cookie)
  }

  /// One chunk for each context that was agreed on.
  mutating func blockStatus(_ request: Request) throws(NBDEnd) {
    if let objection = request.objection { return try fail(request, objection) }
    let limit = request.flags & NBD.CommandFlag.requestOne != 0 ? 1 : NBDContextExtent.limit
    for (index, agreed) in agreement.contexts.enumerated() {
      let extents: [NBDContextExtent]
      do throws(BlockError) {
        extents = try agreed.context.extents(at: request.offset, count: Int64(request.count))
          .fitting(Int64(request.count), limit: limit)
      } catch {
        return try fail(request, error)
      }
      guard !extents.isEmpty else { return try fail(request, .io, "\(agreed.context.name) tells nothing") }
      let length = 4 + 8 * extents.count
      try output.reserve(NBD.Chunk.headerLength + length)
      let isLast = index == agreement.contexts.count - 1
      output.putChunk(request.cookie, NBD.Chunk.blockStatus, isLast: isLast, length: length)
      output.put(agreed.id)
      for extent in extents {
        output.put(UInt32(clamping: extent.count))
        output.put(extent.flags)
      }
    }
  }
}
