import BlockLayers
import Primitives
import Synchronization

/// Which parts of a volume changed, by granules of 64 KiB: a bit for each, set and read by any thread.
///
/// Granules form spans, the unit in which the state keeps them.
final class ChangeMap: @unchecked Sendable {
  // The words are atomic, made before anybody sees the object and freed after its last user.

  /// What one bit stands for, in bytes; as QEMU's dirty bitmaps have it.
  static let granuleBytes: Int64 = 64 << 10
  /// What one row of the state stands for, in bytes.
  static let spanBytes: Int64 = 16 << 20
  /// The 64-bit words of a span.
  static let spanWords = Int(spanBytes / granuleBytes / 64)

  let sizeBytes: Int64
  private let words: UnsafeMutablePointer<Atomic<UInt64>>

  /// Nothing changed. No volume has more than `StorageLimits.volumeBytes`, whatever a row says.
  init(sizeBytes: Int64) {
    let sizeBytes = min(max(sizeBytes, 0), StorageLimits.volumeBytes)
    self.sizeBytes = sizeBytes
    // Address space alone, at most 4 MiB of it.
    guard let words = MappedMemory.zeros(of: Atomic<UInt64>.self, Self.spans(in: sizeBytes) * Self.spanWords) else {
      fatalError("out of memory")
    }
    self.words = words
  }

  deinit { MappedMemory.giveBack(words, spanCount * Self.spanWords) }

  var spanCount: Int { Self.spans(in: sizeBytes) }

  private static func spans(in sizeBytes: Int64) -> Int { Int((max(sizeBytes, 0) + spanBytes - 1) / spanBytes) }

  // MARK: One granule

  /// Whether a granule changed. Its number lies inside of the volume.
  @inline(__always)
  func has(_ granule: Int) -> Bool {
    words[granule >> 6].load(ordering: .acquiring) & (1 << UInt64(granule & 63)) != 0
  }

  @inline(__always)
  func insert(_ granule: Int) {
    _ = words[granule >> 6].bitwiseOr(1 << UInt64(granule & 63), ordering: .sequentiallyConsistent)
  }

  // MARK: Spans

  /// The words of a span; empty for one outside of the volume.
  func words(ofSpan span: Int) -> [UInt64] {
    guard span >= 0, span < spanCount else { return [] }
    return (0..<Self.spanWords).map { words[span * Self.spanWords + $0].load(ordering: .sequentiallyConsistent) }
  }

  /// Adds what changed in a span. What lies outside of the volume is left out.
  func formUnion(_ other: [UInt64], ofSpan span: Int) {
    guard span >= 0, span < spanCount else { return }
    for (index, word) in other.prefix(Self.spanWords).enumerated() where word != 0 {
      _ = words[span * Self.spanWords + index].bitwiseOr(word, ordering: .sequentiallyConsistent)
    }
  }

  /// Adds a whole range of bytes.
  func insert(contentsOf range: Range<Int64>) {
    let range = range.clamped(to: 0..<sizeBytes)
    guard !range.isEmpty else { return }
    for granule in Int(range.lowerBound / Self.granuleBytes)...Int((range.upperBound - 1) / Self.granuleBytes) {
      insert(granule)
    }
  }

  // MARK: Runs

  /// The next run of granules that are alike, from a byte inside of the volume on: how many bytes of it lie from there on,
  /// and whether they changed.
  func run(at offset: Int64) -> (count: Int64, changed: Bool) {
    var granule = Int(offset / Self.granuleBytes)
    let end = Int((sizeBytes + Self.granuleBytes - 1) / Self.granuleBytes)
    let changed = has(granule)
    let uniform: UInt64 = changed ? .max : 0
    repeat {
      granule += 1
      // A word at a time where nothing changes in it.
      while granule & 63 == 0, granule + 64 <= end, words[granule >> 6].load(ordering: .acquiring) == uniform {
        granule += 64
      }
    } while granule < end && has(granule) == changed
    return (min(Int64(granule) * Self.granuleBytes, sizeBytes) - offset, changed)
  }

  /// Bytes that changed, granules counted whole.
  var changedBytes: Int64 {
    var offset: Int64 = 0
    var sum: Int64 = 0
    while offset < sizeBytes {
      let (count, changed) = run(at: offset)
      if changed { sum += count }
      offset += count
    }
    return sum
  }
}
