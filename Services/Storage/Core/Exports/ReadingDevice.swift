import BlockLayers
import Synchronization

/// A snapshot or an image as one NBD client reads it. Its layers are open for as long as the object is there: the NBD
/// server lets go of it when the connection has ended.
final class ReadingDevice: BlockDevice {
  /// What is read, for people.
  let subject: String
  let size: Int64
  var isReadOnly: Bool { true }
  /// What changed since each older checkpoint.
  let dirtyBitmaps: [DirtyBitmap]
  private let layers: [OpenLayer]
  private let top: any BlockDevice
  private let ended: @Sendable () -> Void

  /// - Parameters:
  ///   - layers: the topmost first; `top` is the first one's device.
  ///   - ended: called once, when the layers are closed.
  init(
    _ subject: String, of layers: [OpenLayer], top: any BlockDevice, sizeBytes: Int64,
    dirtyBitmaps: [DirtyBitmap] = [], ended: @escaping @Sendable () -> Void
  ) {
    self.subject = subject
    self.layers = layers
    self.top = top
    self.dirtyBitmaps = dirtyBitmaps
    self.ended = ended
    size = sizeBytes
  }

  deinit {
    for layer in layers { layer.close() }
    ended()
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    // The layer may be larger than what the snapshot keeps.
    try requireRange(offset, Int64(buffer.count), "reading")
    try top.read(into: buffer, at: offset)
  }

  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [Extent] {
    try requireRange(offset, count, "asking for extents")
    return try top.extents(at: offset, count: count)
  }

  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64, flags: WriteFlags) throws(BlockError) {
    throw BlockError(.readOnly, "\(subject) can only be read")
  }

  func trim(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    throw BlockError(.readOnly, "\(subject) can only be read")
  }

  func writeZeroes(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    throw BlockError(.readOnly, "\(subject) can only be read")
  }

  func flush() throws(BlockError) {}

  func close() {}
}

/// How many clients read snapshots of each volume, and images: what they read must stay as long as they do.
final class ReaderTable: Sendable {
  private let counts = Mutex<[String: Int]>([:])

  /// Clients that read what belongs to the owner of this lock.
  func count(_ lock: String) -> Int { counts.withLock { $0[lock, default: 0] } }

  func begin(_ lock: String) { counts.withLock { $0[lock, default: 0] += 1 } }

  func end(_ lock: String) {
    counts.withLock { counts in
      counts[lock, default: 1] -= 1
      if counts[lock] == 0 { counts[lock] = nil }
    }
  }
}
