/// Big-endian fields in a structure that was read from disk. An index outside reads as zero and is not written: the
/// callers' buffers have the structure's fixed length.
extension [UInt8] {
  func big16(at index: Int) -> UInt16 { UInt16(bigEndian: number(at: index)) }
  func big32(at index: Int) -> UInt32 { UInt32(bigEndian: number(at: index)) }
  func big64(at index: Int) -> UInt64 { UInt64(bigEndian: number(at: index)) }

  private func number<T: FixedWidthInteger & BitwiseCopyable>(at index: Int) -> T {
    guard index >= 0, index + MemoryLayout<T>.size <= count else { return 0 }
    return withUnsafeBytes { $0.loadUnaligned(fromByteOffset: index, as: T.self) }
  }

  mutating func put(_ value: some FixedWidthInteger, at index: Int) {
    let bytes = value.bitWidth / 8
    guard index >= 0, index + bytes <= count else { return }
    for byte in 0..<bytes {
      self[index + byte] = UInt8(truncatingIfNeeded: value >> ((bytes - 1 - byte) * 8))
    }
  }

  mutating func put(_ text: StaticString, at index: Int) {
    for (position, byte) in "\(text)".utf8.enumerated() where index + position < count { self[index + position] = byte }
  }

  func starts(with text: StaticString, at index: Int = 0) -> Bool {
    index >= 0 && index <= count && self[index...].starts(with: "\(text)".utf8)
  }

  /// One's complement of the sum of all bytes, those of the checksum itself left out.
  func vhdChecksum(fieldAt field: Int) -> UInt32 {
    var sum: UInt32 = 0
    // By hand: it is asked of every file that is opened, and takes long otherwise in builds without optimisation.
    withUnsafeBytes { bytes in
      var index = 0
      while index < bytes.count {
        if index < field || index >= field + 4 { sum &+= UInt32(bytes[index]) }
        index += 1
      }
    }
    return ~sum
  }
}

/// Rounds up to a multiple, which must be a power of two; the value must be far from overflow.
func roundUp(_ value: Int64, to multiple: Int64) -> Int64 { (value + multiple - 1) & ~(multiple - 1) }
