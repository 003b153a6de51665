import Glibc

/// Received bytes of one connection, used by its thread alone.
struct NBDInput: ~Copyable {
  private let connection: NBDConnection
  private let buffer: UnsafeMutableRawPointer
  private let capacity: Int
  private var start = 0
  private var end = 0

  /// - Parameter capacity: the most that `need` can be asked for.
  init(_ connection: NBDConnection, capacity: Int) {
    self.connection = connection
    self.capacity = capacity
    buffer = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 4096)
  }

  deinit { buffer.deallocate() }

  /// Bytes that have been received and not taken.
  var available: Int { end - start }

  /// Waits until `count` bytes are there, which stay until they are taken.
  @inline(__always)
  mutating func need(_ count: Int) throws(NBDEnd) -> UnsafeRawPointer {
    if end - start < count { try receive(count) }
    return UnsafeRawPointer(buffer + start)
  }

  /// Takes bytes that `need` returned.
  @inline(__always)
  mutating func take(_ count: Int) {
    start += count
    // From the beginning again, so that little traffic touches little memory.
    if start == end { (start, end) = (0, 0) }
  }

  private mutating func receive(_ count: Int) throws(NBDEnd) {
    guard count <= capacity else { throw .breach("\(count) bytes wanted at once") }
    if capacity - start < count {
      memmove(buffer, buffer + start, end - start)
      (start, end) = (0, end - start)
    }
    while end - start < count { end += try connection.receive(buffer + end, capacity - end) }
  }

  /// Takes bytes into a buffer of the caller's.
  mutating func take(into target: UnsafeMutableRawBufferPointer) throws(NBDEnd) {
    guard let base = target.baseAddress else { return }
    var done = min(available, target.count)
    memcpy(base, buffer + start, done)
    take(done)
    while done < target.count { done += try connection.receive(base + done, target.count - done) }
  }

  /// Takes bytes that nobody wants.
  mutating func skip(_ count: Int) throws(NBDEnd) {
    var rest = count
    while rest > 0 {
      if available == 0 { _ = try need(1) }
      let piece = min(available, rest)
      take(piece)
      rest -= piece
    }
  }
}

extension UnsafeRawPointer {
  @inline(__always)
  func big<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T {
    T(bigEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
  }
}
