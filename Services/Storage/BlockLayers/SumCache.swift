import Primitives
import Synchronization

/// Checksums of cold extents in memory, a bounded number, for reads to be verified with. No lock is taken to look one up.
///
/// What is looked up may be older than the extent: whoever finds a block that does not fit asks again with the range locked
/// (`MirroredFileVerify.swift`). So nothing depends on this but time.
final class SumCache: @unchecked Sendable {
  // `tags` and `sums` are atomic and freed after their last user; they are written with `monitor` held.

  /// Extents of which the checksums are kept: those of 8 GiB, in at most 8 MiB, taken as they are needed. Extents that are
  /// so far apart share a place.
  static let extents = 2_048
  private static let blocks = SumFile.extentBlocks

  /// What is known of a block.
  enum Answer: Equatable {
    case sum(UInt32)
    /// It has none.
    case none
    /// Nobody has looked yet.
    case unknown
  }

  private let monitor = Monitor()
  /// For each place the extent's number plus one, and in the low bits how many whole blocks have a checksum. 0: nothing.
  private let tags: UnsafeMutablePointer<Atomic<UInt64>>
  private let sums: UnsafeMutablePointer<Atomic<UInt32>>
  /// Grows with everything that is forgotten.
  private let forgotten = Atomic<Int>(0)

  init() {
    guard let tags = MappedMemory.zeros(of: Atomic<UInt64>.self, Self.extents),
      let sums = MappedMemory.zeros(of: Atomic<UInt32>.self, Self.extents * Self.blocks)
    else { fatalError("out of memory") }
    (self.tags, self.sums) = (tags, sums)
  }

  deinit {
    MappedMemory.giveBack(tags, Self.extents)
    MappedMemory.giveBack(sums, Self.extents * Self.blocks)
  }

  /// The checksum of a block of an extent.
  @inline(__always)
  func sum(of extent: Int, _ block: Int) -> Answer {
    let place = extent % Self.extents
    let tag = tags[place].load(ordering: .acquiring)
    guard tag >> 16 == UInt64(extent + 1) else { return .unknown }
    return block < Int(tag & 0xFFFF) ? .sum(sums[place * Self.blocks + block].load(ordering: .relaxed)) : .none
  }

  /// A moment for `keep`.
  var moment: Int { forgotten.load(ordering: .acquiring) }

  /// Keeps what was read of an extent since a moment, unless something was forgotten since.
  func keep(_ page: SumFile.Page?, of extent: Int, since moment: Int) {
    monitor.locked {
      guard forgotten.load(ordering: .relaxed) == moment else { return }
      let place = extent % Self.extents
      tags[place].store(0, ordering: .sequentiallyConsistent)
      let whole = min((page?.coveredBytes ?? 0) / SumFile.blockBytes, Self.blocks)
      for (block, sum) in (page?.sums ?? []).prefix(whole).enumerated() {
        sums[place * Self.blocks + block].store(sum, ordering: .relaxed)
      }
      tags[place].store(UInt64(extent + 1) << 16 | UInt64(whole), ordering: .releasing)
    }
  }

  /// Forgets extents, or all.
  func forget(_ extents: ExtentSet?) {
    monitor.locked {
      forgotten.add(1, ordering: .releasing)
      guard let extents else {
        for place in 0..<Self.extents where tags[place].load(ordering: .relaxed) != 0 {
          tags[place].store(0, ordering: .releasing)
        }
        return
      }
      extents.forEach { extent in
        let place = extent % Self.extents
        if tags[place].load(ordering: .relaxed) >> 16 == UInt64(extent + 1) {
          tags[place].store(0, ordering: .releasing)
        }
      }
    }
  }

  /// Forgets one extent.
  func forget(_ extent: Int) {
    var extents = ExtentSet()
    extents.insert(extent)
    forget(extents)
  }
}
