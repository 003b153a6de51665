import Synchronization

/// Asserts between two layers that both keep the rules of `BlockDevice`: ranges, state, flags, the shape of extents.
///
/// A breach fails the call with `misuse` (of the caller) or `damaged` (of the layer below) and is counted, so that a test
/// can require that there was none.
public final class CheckingDevice: BlockDevice {
  private let device: any BlockDevice
  private let closed = Atomic<Bool>(false)
  private let breachCount = Atomic<Int>(0)

  public let size: Int64
  public let isReadOnly: Bool

  public init(_ device: any BlockDevice) {
    self.device = device
    size = device.size
    isReadOnly = device.isReadOnly
  }

  /// How many breaches there were.
  public var breaches: Int { breachCount.load(ordering: .relaxed) }

  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try check(offset, Int64(buffer.count), "read")
    try device.read(into: buffer, at: offset)
  }

  public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64, flags: WriteFlags) throws(BlockError) {
    try check(offset, Int64(buffer.count), "write", flags: flags, allowed: .forceUnitAccess, changes: true)
    try device.write(buffer, at: offset, flags: flags)
  }

  public func flush() throws(BlockError) {
    try check(0, 1, "flush")
    try device.flush()
  }

  public func trim(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    try check(offset, count, "trim", flags: flags, allowed: .forceUnitAccess, changes: true)
    try device.trim(at: offset, count: count, flags: flags)
  }

  public func writeZeroes(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    let allowed: WriteFlags = [.forceUnitAccess, .keepAllocated, .onlyIfFast]
    try check(offset, count, "writeZeroes", flags: flags, allowed: allowed, changes: true)
    try device.writeZeroes(at: offset, count: count, flags: flags)
  }

  public func extents(at offset: Int64, count: Int64) throws(BlockError) -> [Extent] {
    try check(offset, count, "extents")
    let extents = try device.extents(at: offset, count: count)
    var at = offset
    for extent in extents {
      guard extent.offset == at, extent.count > 0, extent.count <= offset + count - at else {
        throw breach(.damaged, "extents at \(offset) are not contiguous inside of their range")
      }
      at = extent.end
    }
    guard !extents.isEmpty, extents.count <= Extent.limit else {
      throw breach(.damaged, "\(extents.count) extents returned")
    }
    return extents
  }

  public func close() {
    if closed.exchange(true, ordering: .relaxed) { breachCount.add(1, ordering: .relaxed) }
    device.close()
  }

  private func check(
    _ offset: Int64, _ count: Int64, _ place: StaticString,
    flags: WriteFlags = [], allowed: WriteFlags = [], changes: Bool = false
  ) throws(BlockError) {
    guard !closed.load(ordering: .relaxed) else { throw breach(.misuse, "\(place) after close") }
    guard device.size == size else { throw breach(.damaged, "the size changed to \(device.size)") }
    guard count > 0, offset >= 0, count <= size, offset <= size - count else {
      throw breach(.misuse, "\(place) of \(count) bytes at \(offset), the device has \(size)")
    }
    guard flags.isSubset(of: allowed) else { throw breach(.misuse, "\(place) with flags \(flags.rawValue)") }
    if changes, isReadOnly { throw breach(.misuse, "\(place) on a read-only device") }
  }

  private func breach(_ kind: BlockError.Kind, _ place: String) -> BlockError {
    breachCount.add(1, ordering: .relaxed)
    return BlockError(kind, "checking layer: \(place)")
  }
}
