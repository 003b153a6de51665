import BlockLayers

/// An open file of a simulated disk.
final class SimulatedFile: ByteFile, @unchecked Sendable {
  // Used by one thread.
  let name: String
  let disks: SimulatedDisks
  let node: SimulatedDisks.Node
  private var isClosed = false

  init(_ disks: SimulatedDisks, _ node: SimulatedDisks.Node, _ name: String) {
    (self.disks, self.node, self.name) = (disks, node, name)
  }

  private func begin(_ offset: Int64 = 0, _ count: Int64 = 0) throws(BlockError) {
    if isClosed { throw BlockError(.closed, name) }
    guard offset >= 0, count >= 0, offset <= DiskImage.capacity, offset + count <= DiskImage.capacity else {
      throw BlockError(.outOfRange, "\(name): \(count) bytes at \(offset)")
    }
    try disks.begin(node.leg)
  }

  func size() throws(BlockError) -> Int64 {
    try begin()
    return Int64(node.current.size)
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try begin(offset, Int64(buffer.count))
    guard Int(offset) + buffer.count <= node.current.size else {
      throw BlockError(.outOfRange, errno: 5, "\(name): it ends before \(offset)")
    }
    buffer.copyMemory(from: UnsafeRawBufferPointer(start: node.current.bytes + Int(offset), count: buffer.count))
  }

  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    try begin(offset, Int64(buffer.count))
    guard let data = buffer.baseAddress, !buffer.isEmpty else { return }
    try disks.write(node, data, at: Int(offset), count: buffer.count)
  }

  func flush() throws(BlockError) {
    try begin()
    try disks.sync(node)
  }

  func truncate(to size: Int64) throws(BlockError) {
    try begin(size)
    try disks.resize(node, to: Int(size))
  }

  func allocate(at offset: Int64, count: Int64) throws(BlockError) {
    try begin(offset, count)
    if Int(offset + count) > node.current.size { try disks.resize(node, to: Int(offset + count)) }
  }

  func punch(at offset: Int64, count: Int64) throws(BlockError) {
    try begin(offset, count)
    try disks.write(node, nil, at: Int(offset), count: Int(count))
  }

  func nextData(at offset: Int64) throws(BlockError) -> Range<Int64>? {
    try begin()
    guard offset >= 0, let data = node.current.nextData(at: Int(offset)) else { return nil }
    return Int64(data.lowerBound)..<Int64(data.upperBound)
  }

  func close() { isClosed = true }
}
