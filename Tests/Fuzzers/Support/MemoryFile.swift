import BlockLayers

/// A file in memory that does not grow beyond a limit: what a format claims costs no more memory than that.
public final class MemoryFile: ByteFile, @unchecked Sendable {
  // Used by one thread: a fuzzer's.
  public static let limit: Int64 = 4 << 20
  public private(set) var bytes: [UInt8]
  public let name = "memory"

  public init(_ bytes: [UInt8] = []) { self.bytes = bytes }

  public func size() throws(BlockError) -> Int64 { Int64(bytes.count) }

  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    guard offset >= 0, offset <= bytes.count, buffer.count <= Int64(bytes.count) - offset else {
      throw BlockError(.outOfRange, "read of \(buffer.count) bytes at \(offset)")
    }
    bytes.withUnsafeBytes { buffer.copyBytes(from: $0[Int(offset)..<Int(offset) + buffer.count]) }
  }

  public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    try grow(to: try end(offset, Int64(buffer.count)))
    bytes.withUnsafeMutableBytes { UnsafeMutableRawBufferPointer(rebasing: $0[Int(offset)...]).copyBytes(from: buffer) }
  }

  public func flush() throws(BlockError) {}

  public func truncate(to size: Int64) throws(BlockError) {
    try grow(to: try end(size, 0))
    bytes.removeLast(bytes.count - Int(size))
  }

  public func allocate(at offset: Int64, count: Int64) throws(BlockError) { try grow(to: try end(offset, count)) }

  public func punch(at offset: Int64, count: Int64) throws(BlockError) {
    let end = min(try end(offset, count), Int64(bytes.count))
    guard offset < end else { return }
    for index in Int(offset)..<Int(end) { bytes[index] = 0 }
  }

  public func close() {}

  private func end(_ offset: Int64, _ count: Int64) throws(BlockError) -> Int64 {
    // A negative place is a fault of whoever computed it.
    require(offset >= 0 && count >= 0, "a range of a file: \(count) bytes at \(offset)")
    guard offset <= Self.limit, count <= Self.limit - offset else {
      throw BlockError(.noSpace, "\(count) bytes at \(offset)")
    }
    return offset + count
  }

  private func grow(to size: Int64) throws(BlockError) {
    if size > bytes.count { bytes.append(contentsOf: repeatElement(0, count: Int(size) - bytes.count)) }
  }
}
