/// What a disk format is written on: a file that grows, on one leg or mirrored on two.
///
/// Calls block and may come from several threads at once. A write is durable once a later `flush` has returned; before
/// that a crash may leave any part of it old or new, in any order with other writes.
public protocol ByteFile: AnyObject, Sendable {
  /// Its name for people.
  var name: String { get }

  /// Its length in bytes.
  func size() throws(BlockError) -> Int64

  /// Fills the buffer with what is at `offset`; `outOfRange` when the file ends before.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError)

  /// As `read`, but only where that waits for no disk. False where it would, or failed; then the buffer holds anything.
  func readWithoutWaiting(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) -> Bool

  /// Writes the buffer at `offset`; the file grows as needed, a gap reads as zeros.
  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError)

  /// Makes all that was written before, and the length, durable.
  func flush() throws(BlockError)

  /// Sets the length; what is new reads as zeros.
  func truncate(to size: Int64) throws(BlockError)

  /// Reserves space for a range and grows the file to hold it; what is new reads as zeros. Where the file system cannot
  /// reserve, it only grows.
  func allocate(at offset: Int64, count: Int64) throws(BlockError)

  /// Makes a range inside of the file read as zeros, giving back its space where the file system can.
  func punch(at offset: Int64, count: Int64) throws(BlockError)

  /// The first range at or after `offset` that may hold something else than zeros; nil when there is none.
  func nextData(at offset: Int64) throws(BlockError) -> Range<Int64>?

  /// Ends the use. Does not flush. Later calls fail with `closed`.
  func close()
}

extension ByteFile {
  /// For files that have no disk of their own to wait for.
  public func readWithoutWaiting(
    into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
  ) throws(BlockError) -> Bool {
    try read(into: buffer, at: offset)
    return true
  }

  public func nextData(at offset: Int64) throws(BlockError) -> Range<Int64>? {
    let end = try size()
    return offset < end ? offset..<end : nil
  }
}

/// The largest offset that is accepted anywhere, far from where sums of two would overflow.
public let largestOffset: Int64 = 1 << 56

/// A page of zeros and more, shared by all who write zeros.
public enum Zeros {
  /// How many there are in one piece.
  public static let count = 256 << 10

  private struct Store: @unchecked Sendable {
    // Never written and never freed after it was made: reading it from any thread is safe.
    let bytes: UnsafeRawBufferPointer
  }

  private static let store: Store = {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 4096)
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
    return Store(bytes: UnsafeRawBufferPointer(bytes))
  }()

  /// The zeros.
  public static var bytes: UnsafeRawBufferPointer { store.bytes }

  /// Calls `body` with zeros and an offset, piece by piece, until `count` bytes from `offset` on are covered.
  @inline(__always)
  public static func forEachPiece(
    at offset: Int64, count: Int64, _ body: (UnsafeRawBufferPointer, Int64) throws(BlockError) -> Void
  ) throws(BlockError) {
    var done: Int64 = 0
    while done < count {
      let piece = Int(min(Int64(Zeros.count), count - done))
      try body(UnsafeRawBufferPointer(rebasing: bytes[..<piece]), offset + done)
      done += Int64(piece)
    }
  }
}
