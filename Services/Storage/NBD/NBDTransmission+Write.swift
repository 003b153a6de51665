import BlockLayers

extension NBDTransmission {
  @inline(__always)
  mutating func write(_ request: Request, _ input: inout NBDInput) throws(NBDEnd) {
    if request.objection != nil {
      // The payload is on its way whatever is wrong with the rest.
      try output.send()
      try input.skip(request.count)
      return try finish(request, nil)
    }
    guard request.count <= Self.usualPayload else { return try writeInPieces(request, &input) }
    if input.available < request.count { try output.send() }
    let payload = try input.need(request.count)
    defer { input.take(request.count) }
    try finish(request, try write(UnsafeRawBufferPointer(start: payload, count: request.count), at: request.offset))
  }

  /// Writes what has arrived of a large payload while the rest is on its way, so that it takes no memory of its own. A
  /// client that leaves in between has written the first pieces: a write that was not acknowledged may be done in part.
  private mutating func writeInPieces(_ request: Request, _ input: inout NBDInput) throws(NBDEnd) {
    try output.send()
    var failure: BlockError?
    var done = 0
    while done < request.count {
      let count = min(request.count - done, Self.usualPayload)
      let payload = try input.need(count)
      defer { input.take(count) }
      if failure == nil {
        let piece = UnsafeRawBufferPointer(start: payload, count: count)
        failure = try write(piece, at: request.offset + Int64(done))
      }
      done += count
    }
    try finish(request, failure)
  }

  @inline(__always)
  private mutating func write(_ payload: UnsafeRawBufferPointer, at offset: Int64) throws(NBDEnd) -> BlockError? {
    // Looked at again: receiving the payload may have taken long.
    if connection.isFenced.load(ordering: .sequentiallyConsistent) { throw .ended }
    do throws(BlockError) {
      try device.write(payload, at: offset, flags: [])
      return nil
    } catch {
      return error
    }
  }
}
