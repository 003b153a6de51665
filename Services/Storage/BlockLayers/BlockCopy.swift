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

  /// Copies a range from one device to another, leaving out what the target shows already. Does not flush.
  ///
  /// - Parameters:
  ///   - cell: what is compared and written as a whole, in bytes: a power of two from 512 to 1 MiB.
  ///   - progress: told bytes done and in all after each piece; false cancels.
  /// - Returns: false when cancelled.
  public static func copyDifferences(
    from source: any BlockDevice, to target: any BlockDevice, at offset: Int64 = 0, count: Int64? = nil,
    cell: Int = 4096, progress: (_ done: Int64, _ total: Int64) -> Bool = { _, _ in true }
  ) throws(BlockError) -> Bool {
    let count = count ?? source.size - offset
    try source.requireRange(offset, count, "copyDifferences")
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 << 20, alignment: 4096)
    defer { buffer.deallocate() }
    var at = offset
    let end = offset + count
    while at < end {
      var piece = min(end - at, Int64(buffer.count / 2))
      if let zeros = try commonZeros(source, target, at: at, count: end - at) {
        piece = zeros
      } else {
        let wanted = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(piece)])
        let shown = UnsafeMutableRawBufferPointer(rebasing: buffer[(buffer.count / 2)...].prefix(Int(piece)))
        try source.read(into: wanted, at: at)
        try target.read(into: shown, at: at)
        try writeDifferences(
          of: UnsafeRawBufferPointer(wanted), and: UnsafeRawBufferPointer(shown), to: target, at: at, cell: cell)
      }
      at += piece
      guard progress(at - offset, count) else { return false }
    }
    return true
  }

  /// How many bytes from an offset on both devices are known to read as zeros; nil when that is not known of the first.
  private static func commonZeros(
    _ one: any BlockDevice, _ other: any BlockDevice, at offset: Int64, count: Int64
  ) throws(BlockError) -> Int64? {
    guard let first = try one.extents(at: offset, count: count).first, first.readsAsZero,
      let second = try other.extents(at: offset, count: count).first, second.readsAsZero
    else { return nil }
    return min(first.count, second.count, count)
  }

  private static func writeDifferences(
    of wanted: UnsafeRawBufferPointer, and shown: UnsafeRawBufferPointer, to target: any BlockDevice, at offset: Int64,
    cell: Int
  ) throws(BlockError) {
    func differs(_ range: Range<Int>) -> Bool {
      guard let one = wanted.baseAddress, let other = shown.baseAddress else { return false }
      return memcmp(one + range.lowerBound, other + range.lowerBound, range.count) != 0
    }
    var start = 0
    while start < wanted.count {
      var end = min(start + cell, wanted.count)
      guard differs(start..<end) else {
        start = end
        continue
      }
      while end < wanted.count, differs(end..<min(end + cell, wanted.count)) { end = min(end + cell, wanted.count) }
      try write(UnsafeRawBufferPointer(rebasing: wanted[start..<end]), to: target, at: offset + Int64(start))
      start = end
    }
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
