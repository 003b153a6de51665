import Primitives

/// A device in memory, with every byte zero at first. What tests compare others with.
public final class MemoryDevice: BlockDevice, @unchecked Sendable {
  // The bytes are touched only with `monitor` held.
  private let monitor = Monitor()
  private var bytes: [UInt8]
  private var closed = false
  private var flushCount = 0

  public let size: Int64
  public let isReadOnly: Bool

  /// A device of `size` bytes; it must be positive and fit into memory.
  public init(size: Int, isReadOnly: Bool = false) {
    self.size = Int64(size)
    self.isReadOnly = isReadOnly
    bytes = [UInt8](repeating: 0, count: size)
  }

  /// A device that holds these bytes.
  public init(_ bytes: [UInt8], isReadOnly: Bool = false) {
    size = Int64(bytes.count)
    self.isReadOnly = isReadOnly
    self.bytes = bytes
  }

  /// All that it holds.
  public var content: [UInt8] { monitor.locked { bytes } }

  /// How often it was flushed.
  public var flushes: Int { monitor.locked { flushCount } }

  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try requireRange(offset, Int64(buffer.count), "read")
    guard !buffer.isEmpty else { return }
    monitor.lock()
    defer { monitor.unlock() }
    try requireOpen()
    bytes.withUnsafeBytes { buffer.copyMemory(from: .init(rebasing: $0[Int(offset)..<Int(offset) + buffer.count])) }
  }

  public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64, flags: WriteFlags) throws(BlockError) {
    try change(offset, Int64(buffer.count)) { $0.copyMemory(from: buffer) }
  }

  public func flush() throws(BlockError) {
    monitor.lock()
    defer { monitor.unlock() }
    try requireOpen()
    flushCount += 1
  }

  public func trim(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    try writeZeroes(at: offset, count: count, flags: flags)
  }

  public func writeZeroes(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    try change(offset, count) { $0.initializeMemory(as: UInt8.self, repeating: 0) }
  }

  public func extents(at offset: Int64, count: Int64) throws(BlockError) -> [Extent] {
    try requireRange(offset, count, "extents")
    return count == 0 ? [] : [Extent(offset: offset, count: count, isAllocated: true, readsAsZero: false)]
  }

  public func close() { monitor.locked { closed = true } }

  private func change(
    _ offset: Int64, _ count: Int64, _ body: (UnsafeMutableRawBufferPointer) -> Void
  ) throws(BlockError) {
    guard !isReadOnly else { throw BlockError(.readOnly, "memory device") }
    try requireRange(offset, count, "write")
    monitor.lock()
    defer { monitor.unlock() }
    try requireOpen()
    bytes.withUnsafeMutableBytes { body(.init(rebasing: $0[Int(offset)..<Int(offset + count)])) }
  }

  private func requireOpen() throws(BlockError) {
    if closed { throw BlockError(.closed, "memory device") }
  }
}
