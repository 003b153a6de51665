/// Bytes received and not handled yet, as frames.
///
///     +--------+--------+--------+--------+----------------------+
///     | length of the text, big-endian    | UTF-8 text           |
///     +--------+--------+--------+--------+----------------------+
struct FrameBuffer {
  /// Bytes of the length before each text.
  static let headerBytes = 4

  enum Next {
    /// The text is at this place of `withBytes`.
    case frame(Range<Int>)
    case incomplete
    /// The length is beyond the limit: where the next frame begins is unknown.
    case tooLong(Int)
  }

  private var bytes: [UInt8] = []
  private var begin = 0
  private let limit: Int

  init(limit: Int) { self.limit = limit }

  /// Bytes held.
  var count: Int { bytes.count - begin }

  mutating func append(_ received: UnsafeRawBufferPointer) {
    if begin > 0, begin == bytes.count || begin > 1 << 16 {
      bytes.removeFirst(begin)
      begin = 0
    }
    bytes.append(contentsOf: received)
  }

  /// Looks for the next frame without taking it.
  func next() -> Next {
    guard count >= Self.headerBytes else { return .incomplete }
    var length = 0
    for offset in 0..<Self.headerBytes { length = length << 8 | Int(bytes[begin + offset]) }
    guard length <= limit else { return .tooLong(length) }
    let first = begin + Self.headerBytes
    return bytes.count - first >= length ? .frame(first..<first + length) : .incomplete
  }

  func withText<R>(_ range: Range<Int>, _ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
    bytes.withUnsafeBufferPointer { body(UnsafeBufferPointer(rebasing: $0[range])) }
  }

  /// Takes the frame that `next` found.
  mutating func take(_ range: Range<Int>) {
    begin = range.upperBound
    // What a long message needed is not kept for short ones.
    if begin == bytes.count {
      bytes.removeAll(keepingCapacity: bytes.capacity <= 1 << 16)
      begin = 0
    }
  }
}
