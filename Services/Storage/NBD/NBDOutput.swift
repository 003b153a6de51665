import Glibc

/// Answers of one thread that are sent together.
struct NBDOutput: ~Copyable {
  private let connection: NBDConnection
  private var memory: NBDBuffer
  var count = 0

  init(_ connection: NBDConnection, capacity: Int) {
    self.connection = connection
    memory = NBDBuffer(capacity: capacity)
  }

  var capacity: Int { memory.capacity }
  var buffer: UnsafeMutableRawPointer { memory.bytes }

  /// Sends what there is.
  @inline(__always)
  mutating func send() throws(NBDEnd) {
    guard count > 0 else { return }
    try connection.send(UnsafeRawBufferPointer(start: buffer, count: count))
    count = 0
  }

  /// Makes room; at most `capacity`.
  @inline(__always)
  mutating func reserve(_ bytes: Int) throws(NBDEnd) {
    if capacity - count < bytes { try send() }
    memory.use(upTo: count + bytes)
  }

  /// Whether memory could be given back.
  var holdsMuch: Bool { memory.holdsMuch }

  /// Gives back the memory of what has been sent.
  mutating func giveBack() { memory.giveBack(behind: count) }

  /// Appends a number; room must have been reserved.
  @inline(__always)
  mutating func put<T: FixedWidthInteger>(_ value: T) {
    guard count + MemoryLayout<T>.size <= capacity else { return }
    buffer.storeBytes(of: value.bigEndian, toByteOffset: count, as: T.self)
    count += MemoryLayout<T>.size
  }

  /// Appends bytes; room must have been reserved.
  mutating func put(_ bytes: [UInt8]) {
    guard count + bytes.count <= capacity else { return }
    bytes.withUnsafeBytes { if let base = $0.baseAddress { memcpy(buffer + count, base, $0.count) } }
    count += bytes.count
  }
}

extension NBDOutput {
  @inline(__always)
  mutating func putChunk(_ cookie: UInt64, _ type: UInt16, isLast: Bool, length: Int) {
    put(NBD.structuredReplyMagic)
    put(isLast ? NBD.Chunk.done : 0)
    put(type)
    put(cookie)
    put(UInt32(clamping: length))
  }

  /// Simple answers stay allowed for all but reads and block status, and are shorter.
  @inline(__always)
  mutating func putSuccess(_ cookie: UInt64) {
    put(NBD.simpleReplyMagic)
    put(UInt32(0))
    put(cookie)
  }
}

/// Answers without a payload.
enum NBDAnswer {
  static func success(_ cookie: UInt64) -> [UInt8] { simple(cookie, 0) }

  /// - Parameter text: for people; only a structured answer has room for it.
  static func failure(_ cookie: UInt64, _ error: NBD.Failure, _ text: String, structured: Bool) -> [UInt8] {
    guard structured else { return simple(cookie, error.rawValue) }
    let text = text.utf8Prefix()
    return bytes(NBD.structuredReplyMagic) + bytes(NBD.Chunk.done) + bytes(NBD.Chunk.error) + bytes(cookie)
      + bytes(UInt32(clamping: 6 + text.count)) + bytes(error.rawValue) + bytes(UInt16(clamping: text.count)) + text
  }

  private static func simple(_ cookie: UInt64, _ error: UInt32) -> [UInt8] {
    bytes(NBD.simpleReplyMagic) + bytes(error) + bytes(cookie)
  }

  private static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
  }
}
