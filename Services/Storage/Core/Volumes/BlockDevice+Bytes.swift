import BlockLayers

extension BlockDevice {
  /// What is at `offset`, as an array.
  func bytes(at offset: Int64, count: Int) throws(BlockError) -> [UInt8] {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 4096)
    defer { buffer.deallocate() }
    try read(into: buffer, at: offset)
    return Array(buffer)
  }

  /// Writes an array at `offset`.
  func write(_ bytes: [UInt8], at offset: Int64) throws(BlockError) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 4096)
    defer { buffer.deallocate() }
    buffer.copyBytes(from: bytes)
    try write(UnsafeRawBufferPointer(buffer), at: offset, flags: [])
  }
}
