import Glibc

/// Copies between devices that leave out what is zero.
public enum BlockCopy {
  /// The grain in which zeros are looked for, in bytes.
  static let grain = 64 << 10

  /// Copies a range from one device to another, which must both hold it. What is known or found to be zero is written as
  /// zeros without taking space where the target can do so. Does not flush.
  ///
  /// - Parameter progress: told bytes done and in all after each piece; false cancels.
  /// - Returns: false when cancelled.
  public static func copy(
    from source: any BlockDevice, to target: any BlockDevice, at offset: Int64 = 0, count: Int64? = nil,
    progress: (_ done: Int64, _ total: Int64) -> Bool = { _, _ in true }
  ) throws(BlockError) -> Bool {
    let count = count ?? source.size - offset
    try source.requireRange(offset, count, "copy")
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    defer { buffer.deallocate() }
    var at = offset
    let end = offset + count
    while at < end {
      let extents = try source.extents(at: at, count: end - at)
      for extent in extents where extent.offset == at {
        while at < extent.end {
          let piece = min(extent.end - at, extent.readsAsZero ? 1 << 30 : Int64(buffer.count))
          if extent.readsAsZero {
            try target.writeZeroes(at: at, count: piece)
          } else {
            let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(piece)])
            try source.read(into: bytes, at: at)
            try write(UnsafeRawBufferPointer(bytes), to: target, at: at)
          }
          at += piece
          guard progress(at - offset, count) else { return false }
        }
      }
      if extents.isEmpty { throw BlockError(.damaged, "copy: no extents at \(at)") }
    }
    return true
  }

  /// Writes bytes, those grains that are all zero as zeros.
  public static func write(
    _ buffer: UnsafeRawBufferPointer, to target: any BlockDevice, at offset: Int64
  ) throws(BlockError) {
    var start = 0
    while start < buffer.count {
      var end = min(start + grain, buffer.count)
      let zero = isZero(UnsafeRawBufferPointer(rebasing: buffer[start..<end]))
      while end < buffer.count {
        let next = min(end + grain, buffer.count)
        guard isZero(UnsafeRawBufferPointer(rebasing: buffer[end..<next])) == zero else { break }
        end = next
      }
      if zero {
        try target.writeZeroes(at: offset + Int64(start), count: Int64(end - start))
      } else {
        try target.write(UnsafeRawBufferPointer(rebasing: buffer[start..<end]), at: offset + Int64(start))
      }
      start = end
    }
  }

  /// Whether all bytes are zero.
  public static func isZero(_ buffer: UnsafeRawBufferPointer) -> Bool {
    var at = 0
    while at < buffer.count {
      let count = min(Zeros.count, buffer.count - at)
      guard let left = buffer.baseAddress, let right = Zeros.bytes.baseAddress, memcmp(left + at, right, count) == 0
      else { return false }
      at += count
    }
    return true
  }
}
