import BlockLayers
import Glibc

/// Memory of one connection, most of which goes back to the system while the client asks for nothing.
struct NBDBuffer: ~Copyable {
  /// What is kept: more than requests of usual size take.
  static let kept = 64 << 10

  let bytes: UnsafeMutableRawPointer
  let capacity: Int
  /// Bytes from the beginning that may have been used since the rest was given back.
  private var used = 0

  init(capacity: Int) {
    self.capacity = capacity
    // The system's own: an allocator would keep what connections leave behind.
    guard let bytes = MappedMemory.zeros(of: UInt8.self, capacity) else { fatalError("out of memory") }
    self.bytes = UnsafeMutableRawPointer(bytes)
  }

  deinit { MappedMemory.giveBack(bytes.assumingMemoryBound(to: UInt8.self), capacity) }

  /// Notes that bytes up to `end` are about to be used.
  @inline(__always)
  mutating func use(upTo end: Int) { if end > used { used = end } }

  /// Whether there is anything to give back.
  var holdsMuch: Bool { used > Self.kept }

  /// Gives back what lies behind `end`, the last byte that is needed, and behind what is kept; it holds zeros then.
  mutating func giveBack(behind end: Int) {
    let start = (max(end, Self.kept) + 4095) & ~4095
    guard used > start else { return }
    // That this fails costs memory only.
    madvise(bytes + start, (used + 4095) & ~4095 - start, MADV_DONTNEED)
    used = start
  }
}
