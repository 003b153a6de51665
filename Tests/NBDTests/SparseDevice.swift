import BlockLayers

/// A device of 1 MiB of which the first 64 KiB hold data and the rest holds nothing.
final class SparseDevice: BlockDevice {
  let size: Int64 = 1 << 20
  let isReadOnly = true
  private let dataEnd: Int64 = 65536

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    for index in buffer.indices { buffer[index] = offset + Int64(index) < dataEnd ? 1 : 0 }
  }

  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [Extent] {
    let end = offset + count
    let bounds = [offset, min(max(dataEnd, offset), end), end]
    return zip(bounds, bounds.dropFirst()).compactMap { (begin, end) -> Extent? in
      guard begin < end else { return nil }
      let holdsData = begin < dataEnd
      return Extent(offset: begin, count: end - begin, isAllocated: holdsData, readsAsZero: !holdsData)
    }
  }

  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64, flags: WriteFlags) throws(BlockError) {}
  func flush() throws(BlockError) {}
  func trim(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {}
  func writeZeroes(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {}
  func close() {}
}
