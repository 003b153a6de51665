import BlockLayers
import CLinuxFile
import Glibc
import Primitives
import Synchronization

/// What a layer knows of its file that the file does not tell yet: new table entries and new bits of bitmaps, which wait for a
/// flush. It is kept in a file in memory (`/run`), so that it survives the process and not the power.
///
/// A client that comes back after its server was killed, as a guest does, goes on as if its disk held all that was
/// acknowledged, flushed or not: writes may be lost with the power alone, which ends the guest as well. Data are in the
/// kernel's page cache then; this does the same for metadata. `VHDLayer.settle` enters into the file what is found here.
///
///     header, 4096 bytes   "FTVSMLOG" | length of the boot's identifier (1) | the identifier | the layer's UUID (16)
///     half 0, half 1       131072 records each, 8 bytes in the machine's order; 0 is none
///
///     record of an entry   1 | 1 | block (30 bits) | sector of the file where the block begins (32)
///     record of cells      1 | 0 | block (30 bits) | first cell (16) | number of cells less one (16)
///
/// One half takes what is new while what is in the other one is written to the layer's file.
public final class MetadataLog: @unchecked Sendable {
  // All of it is immutable, atomic, or memory that holds atomics; making room is done with `growing` held.

  /// One thing that the file does not tell yet.
  public enum Record: Sendable, Equatable {
    /// A block has its place in the file.
    case entry(block: UInt32, sector: UInt32)
    /// Cells of 4 KiB of a block are there.
    case cells(block: UInt32, first: Int, count: Int)
  }

  final class Half: Sendable {
    /// Where its records are in the file, in bytes.
    let offset: Int
    /// Records that were begun.
    let used = Atomic<Int>(0)
    /// Records that there is room for.
    let room = Atomic<Int>(0)

    init(offset: Int) { self.offset = offset }
  }

  /// Most records of a half. More are not kept; what they would say is flushed before it is acknowledged.
  static let capacity = 131_072
  /// Records that room is made for at once.
  private static let chunk = 8192
  static let headerLength = 4096
  static let length = headerLength + 2 * capacity * 8
  static let magic = Array("FTVSMLOG".utf8)

  private let path: String
  private let descriptor: Int32
  /// Nil where nothing can be kept.
  private let memory: UnsafeMutableRawPointer?
  private let halves = (Half(offset: headerLength), Half(offset: headerLength + capacity * 8))
  private let active = Atomic<Int>(0)
  private let growing = Monitor()
  /// Records that were not kept, and how many of these a flush has made good.
  private let missed = Atomic<Int>(0)
  private let madeGood = Atomic<Int>(0)

  /// A new log, in place of one that is there. Where it cannot be made it keeps nothing, which costs time and no data.
  ///
  /// - Parameters:
  ///   - layer: the layer's identifier in its footer.
  ///   - boot: what tells this start of the machine from others, at most 255 bytes: a log of another one says nothing.
  public init(path: String, layer: VHDUUID, boot: String) {
    self.path = path
    descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
    memory = Self.map(descriptor)
    guard let memory else { return }
    let header = Self.header(layer, boot: boot)
    (memory + Self.magic.count).copyMemory(from: header, byteCount: header.count)
    // Last: until then it is no log.
    memory.copyMemory(from: Self.magic, byteCount: Self.magic.count)
  }

  deinit {
    if let memory { munmap(memory, Self.length) }
    if descriptor >= 0 { close(descriptor) }
  }

  /// Whether it keeps anything.
  public var canKeep: Bool { memory != nil }

  private static func map(_ descriptor: Int32) -> UnsafeMutableRawPointer? {
    // Room is made before memory is touched: a full file system is an error here, and would be a signal there.
    guard descriptor >= 0, posix_fallocate(descriptor, 0, off_t(headerLength)) == 0,
      ftruncate(descriptor, off_t(length)) == 0
    else { return nil }
    let memory = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    return memory == UnsafeMutableRawPointer(bitPattern: -1) ? nil : memory
  }

  /// The header behind the magic.
  static func header(_ layer: VHDUUID, boot: String) -> [UInt8] {
    let boot = Array(boot.utf8.prefix(255))
    return [UInt8(boot.count)] + boot + layer.bytes
  }

  // MARK: Keeping

  /// Keeps a record. The layer's lock must be held, shared or exclusively; what the record says must be so in the file
  /// already, and nobody may have been told of it.
  @inline(__always)
  func keep(_ record: Record) {
    let half = activeHalf
    let index = half.used.add(1, ordering: .relaxed).oldValue
    guard index < half.room.load(ordering: .acquiring) || makeRoom(in: half, for: index), let memory else {
      missed.add(1, ordering: .sequentiallyConsistent)
      return
    }
    records(half, memory)[index].store(record.word, ordering: .releasing)
  }

  /// Whether a flush must come before the caller's write is acknowledged: something was not kept, or soon could not be.
  @inline(__always)
  var wantsFlush: Bool {
    if missed.load(ordering: .sequentiallyConsistent) > madeGood.load(ordering: .sequentiallyConsistent) { return true }
    return activeHalf.used.load(ordering: .relaxed) > Self.capacity / 4 * 3
  }

  @inline(__always)
  private var activeHalf: Half { active.load(ordering: .relaxed) == 0 ? halves.0 : halves.1 }

  @inline(__always)
  private func records(_ half: Half, _ memory: UnsafeMutableRawPointer) -> UnsafeMutablePointer<Atomic<UInt64>> {
    (memory + half.offset).assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  private func makeRoom(in half: Half, for index: Int) -> Bool {
    guard memory != nil, index < Self.capacity else { return false }
    return growing.locked {
      while half.room.load(ordering: .relaxed) <= index {
        let room = half.room.load(ordering: .relaxed)
        let offset = off_t(half.offset + room * 8)
        guard posix_fallocate(descriptor, offset, off_t(Self.chunk * 8)) == 0 else { return false }
        half.room.store(room + Self.chunk, ordering: .releasing)
      }
      return true
    }
  }

  // MARK: Flushing

  /// What a flush makes superfluous once it has succeeded.
  struct Retired {
    fileprivate var half: Half
    fileprivate var missed: Int
  }

  /// Has what is new kept apart from what a flush is about to write. The layer's lock must be held exclusively. Nil when
  /// there is nothing to be retired, or what an earlier flush that failed left.
  func retire() -> Retired? {
    let (retired, next) = active.load(ordering: .relaxed) == 0 ? (halves.0, halves.1) : (halves.1, halves.0)
    guard retired.used.load(ordering: .relaxed) > 0, next.used.load(ordering: .relaxed) == 0 else { return nil }
    active.store(retired === halves.0 ? 1 : 0, ordering: .relaxed)
    return Retired(half: retired, missed: missed.load(ordering: .sequentiallyConsistent))
  }

  /// Forgets what is in the file now, durably.
  func forget(_ retired: Retired) {
    let half = retired.half
    let count = min(half.used.load(ordering: .relaxed), half.room.load(ordering: .relaxed))
    if let memory {
      let kept = min(count, Self.chunk)
      memset(memory + half.offset, 0, kept * 8)
      giveBack(half, from: Self.chunk)
    }
    half.used.store(0, ordering: .relaxed)
    madeGood.store(retired.missed, ordering: .sequentiallyConsistent)
  }

  /// Gives memory back that only a burst needed; it reads as zeros afterwards.
  private func giveBack(_ half: Half, from index: Int) {
    let room = half.room.load(ordering: .relaxed)
    guard room > index else { return }
    let (offset, count) = (off_t(half.offset + index * 8), off_t((room - index) * 8))
    if fallocate(descriptor, FTVS_FALLOCATE_PUNCH, offset, count) == 0 {
      half.room.store(index, ordering: .releasing)
    } else if let memory {
      memset(memory + half.offset + index * 8, 0, (room - index) * 8)
    }
  }

  /// Removes the log where it has nothing to tell; else it stays for whoever opens the layer next. The layer must not be
  /// written any more.
  ///
  /// - Returns: whether it was removed.
  public func end() -> Bool {
    let kept = halves.0.used.load(ordering: .relaxed) + halves.1.used.load(ordering: .relaxed)
    guard kept == 0 || memory == nil else { return false }
    unlink(path)
    return true
  }
}

extension MetadataLog.Record {
  private static let mark: UInt64 = 1 << 63
  private static let entryMark: UInt64 = 1 << 62
  static let mostBlocks = 1 << 30
  static let mostCells = 1 << 16

  /// The record in 8 bytes, never 0.
  @inline(__always)
  var word: UInt64 {
    switch self {
    case .entry(let block, let sector): Self.mark | Self.entryMark | UInt64(block) << 32 | UInt64(sector)
    case .cells(let block, let first, let count):
      Self.mark | UInt64(block) << 32 | UInt64(truncatingIfNeeded: first) << 16
        | UInt64(truncatingIfNeeded: count - 1) & 0xffff
    }
  }

  /// Nil for what is no record.
  init?(word: UInt64) {
    guard word & Self.mark != 0 else { return nil }
    let block = UInt32(truncatingIfNeeded: word >> 32) & (1 << 30 - 1)
    if word & Self.entryMark != 0 {
      self = .entry(block: block, sector: UInt32(truncatingIfNeeded: word))
    } else {
      self = .cells(block: block, first: Int(word >> 16 & 0xffff), count: Int(word & 0xffff) + 1)
    }
  }
}
