import Glibc

/// Received bytes of one connection, used by its thread alone.
struct NBDInput: ~Copyable {
  private let connection: NBDConnection
  private var buffer: NBDBuffer
  private var start = 0
  private var end = 0

  /// - Parameter capacity: the most that `need` can be asked for.
  init(_ connection: NBDConnection, capacity: Int) {
    self.connection = connection
    buffer = NBDBuffer(capacity: capacity)
  }

  /// Bytes that have been received and not taken.
  var available: Int { end - start }

  /// Waits until `count` bytes are there, which stay until they are taken.
  @inline(__always)
  mutating func need(_ count: Int) throws(NBDEnd) -> UnsafeRawPointer {
    if end - start < count { try receive(count) }
    return UnsafeRawPointer(buffer.bytes + start)
  }

  /// Takes bytes that `need` returned.
  @inline(__always)
  mutating func take(_ count: Int) {
    start += count
    // From the beginning again, so that little traffic touches little memory.
    if start == end { (start, end) = (0, 0) }
  }

  /// Receives a part of `count` bytes that are wanted. False when nothing came for as long as the connection was told to watch
  /// for.
  mutating func receiveMore(of count: Int) throws(NBDEnd) -> Bool {
    guard count <= buffer.capacity else { throw .breach("\(count) bytes wanted at once") }
    if buffer.capacity - start < count {
      memmove(buffer.bytes, buffer.bytes + start, end - start)
      (start, end) = (0, end - start)
    }
    guard let received = try connection.receive(buffer.bytes + end, buffer.capacity - end) else { return false }
    end += received
    buffer.use(upTo: end)
    return true
  }

  private mutating func receive(_ count: Int) throws(NBDEnd) {
    while available < count { _ = try receiveMore(of: count) }
  }

  /// Whether memory could be given back.
  var holdsMuch: Bool { buffer.holdsMuch }

  /// Gives back the memory of what has been taken.
  mutating func giveBack() { buffer.giveBack(behind: end) }

  /// Takes bytes into a buffer of the caller's.
  mutating func take(into target: UnsafeMutableRawBufferPointer) throws(NBDEnd) {
    guard let base = target.baseAddress else { return }
    var done = min(available, target.count)
    memcpy(base, buffer.bytes + start, done)
    take(done)
    while done < target.count { done += try connection.receive(base + done, target.count - done) ?? 0 }
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
