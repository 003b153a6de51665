/// What a volume looks like to whoever reads and writes it: a fixed number of bytes, in a stack of layers.
///
/// All calls block and may come from several threads at once; they are made from dedicated I/O threads, never from the
/// cooperative pool. A write is seen by every read that begins after it returned; it survives a crash once a later
/// `flush` has returned. Overlapping calls in flight at the same time have no order.
///
/// Ranges must lie inside of `0..<size`; a call with a range outside fails with `outOfRange` and does nothing.
public protocol BlockDevice: AnyObject, Sendable {
  /// Bytes that it holds, a multiple of 512.
  var size: Int64 { get }

  /// Whether every write is refused with `readOnly`.
  var isReadOnly: Bool { get }

  /// Fills the buffer with what is at `offset`.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError)

  /// Writes the buffer at `offset`.
  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64, flags: WriteFlags) throws(BlockError)

  /// Makes every write that returned before durable.
  func flush() throws(BlockError)

  /// Says that the content of a range is not needed any more; afterwards it reads as zeros or as before.
  func trim(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError)

  /// Makes a range read as zeros.
  func writeZeroes(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError)

  /// Which parts of a range hold data: contiguous extents from `offset` on, at least one, at most `Extent.limit`.
  /// They may end before the range does (then ask again from there), never after it.
  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [Extent]

  /// Ends the use. Does not flush. Later calls fail with `closed`.
  func close()
}

extension BlockDevice {
  public var isReadOnly: Bool { false }

  public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    try write(buffer, at: offset, flags: [])
  }

  public func trim(at offset: Int64, count: Int64) throws(BlockError) {
    try trim(at: offset, count: count, flags: [])
  }

  public func writeZeroes(at offset: Int64, count: Int64) throws(BlockError) {
    try writeZeroes(at: offset, count: count, flags: [])
  }

  /// Throws unless `offset` and `count` describe a range inside of the device.
  @inline(__always)
  public func requireRange(_ offset: Int64, _ count: Int64, _ place: StaticString) throws(BlockError) {
    let size = size
    guard offset >= 0, count >= 0, count <= size, offset <= size - count else {
      throw BlockError(.outOfRange, "\(place) of \(count) bytes at \(offset), the device has \(size)")
    }
  }
}

/// How a write is to be done.
public struct WriteFlags: OptionSet, Sendable, Hashable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Durable when the call returns, with all metadata that is needed to read it back.
  public static let forceUnitAccess = WriteFlags(rawValue: 1)
  /// For `writeZeroes`: the space stays allocated.
  public static let keepAllocated = WriteFlags(rawValue: 2)
  /// For `writeZeroes`: fail with `notSupported` at once instead of writing zeros as slowly as data.
  public static let onlyIfFast = WriteFlags(rawValue: 4)
}

/// A part of a device and whether something is stored for it.
public struct Extent: Sendable, Hashable {
  /// The most that one call returns.
  public static let limit = 1024

  /// Where it begins.
  public var offset: Int64
  /// Its length in bytes, above zero.
  public var count: Int64
  /// Whether space is taken for it in this device or its parents.
  public var isAllocated: Bool
  /// Whether it is known to read as zeros.
  public var readsAsZero: Bool

  public init(offset: Int64, count: Int64, isAllocated: Bool, readsAsZero: Bool) {
    self.offset = offset
    self.count = count
    self.isAllocated = isAllocated
    self.readsAsZero = readsAsZero
  }

  /// Where the next one begins.
  public var end: Int64 { offset + count }
}

extension [Extent] {
  /// Appends an extent, as part of the last one when it is of the same sort. False when the limit is reached.
  public mutating func appendMerging(_ extent: Extent) -> Bool {
    if let last, last.isAllocated == extent.isAllocated, last.readsAsZero == extent.readsAsZero {
      self[count - 1].count += extent.count
      return true
    }
    guard count < Extent.limit else { return false }
    append(extent)
    return true
  }
}
