/// Frames that wait for the peer, as the bytes to send.
struct OutboundBuffer {
  private var bytes: [UInt8] = []
  /// How many of them are sent.
  private var sent = 0

  var count: Int { bytes.count - sent }
  var isEmpty: Bool { count == 0 }

  /// Appends a text with its length before it.
  mutating func append(_ text: [UInt8]) {
    let length = UInt32(truncatingIfNeeded: text.count).bigEndian
    withUnsafeBytes(of: length) { bytes.append(contentsOf: $0) }
    bytes.append(contentsOf: text)
  }

  func withUnsent<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[sent...])) }
  }

  mutating func took(_ count: Int) {
    sent += count
    if sent == bytes.count {
      removeAll()
    } else if sent > max(1 << 20, bytes.count / 2) {
      bytes.removeFirst(sent)
      sent = 0
    }
  }

  mutating func removeAll() {
    // What a long message needed is not kept for short ones.
    bytes.removeAll(keepingCapacity: bytes.capacity <= 1 << 16)
    sent = 0
  }
}
