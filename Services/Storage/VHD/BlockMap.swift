import Primitives
import BlockLayers
import Glibc
import Synchronization

/// Where the blocks of a dynamic or differencing file are, and which of their sectors are there.
///
/// A block is *absent* (no table entry), *full* (all sectors there), *partial* (its bitmap is in memory) or *unread* (it
/// has an entry, its bitmap has not been read yet). What a flush has to write is *dirty*: table entries of new blocks and
/// bitmaps with new bits.
///
/// Memory for a block that is absent is never touched: an empty table costs address space only.
final class BlockMap: @unchecked Sendable {
  // The table and the slots change only with the owning layer's lock held exclusively and are read with it held shared.
  // Bits of a bitmap are atomic, because writers set them with the lock shared; `dirtyBitmaps` has a lock of its own for
  // the same reason. Of a layer that is only read the table never changes, and slots and bits are read without the lock
  // (`glance`): slots are atomic, and the memory of a bitmap stays one of this map's until the end.

  /// A word of a bitmap.
  typealias Word = Atomic<UInt64>

  let count: Int
  let blockSize: Int64
  /// Bytes that a block's bitmap takes on disk, whole sectors.
  let bitmapLength: Int64
  private let sectors: Int
  let words: Int
  private let table: UnsafeMutablePointer<UInt32>
  private let slots: UnsafeMutablePointer<Atomic<UInt>>
  private let blockShift: Int64
  private static let unread: UInt = 0
  private static let full: UInt = 1

  private var dirtyEntries: [UInt32] = []
  private var bitmapsInMemory: [UInt32] = []
  /// Bitmaps of no block at present.
  private var spareBitmaps: [UnsafeMutablePointer<Word>] = []
  /// Grows between the taking back of bitmaps and the first new use of their memory.
  let evictions = Atomic<Int>(0)
  private let dirtyLock = Monitor()
  private var dirtyBitmaps: [UInt32] = []
  private let dirtyCount = Atomic<Int>(0)

  /// Bytes that a block takes in a file, its bitmap included.
  static func space(blockSize: Int64) -> Int64 { bitmapLength(blockSize: blockSize) + blockSize }

  private static func bitmapLength(blockSize: Int64) -> Int64 { roundUp((blockSize / 512 + 7) / 8, to: 512) }

  /// Nil when there is no memory for it.
  init?(count: Int, blockSize: Int64) {
    self.count = count
    self.blockSize = blockSize
    blockShift = Int64(blockSize.trailingZeroBitCount)
    sectors = Int(blockSize / 512)
    words = (sectors + 63) / 64
    bitmapLength = Self.bitmapLength(blockSize: blockSize)
    guard let table = MappedMemory.zeros(of: UInt32.self, count) else { return nil }
    guard let slots = MappedMemory.zeros(of: Atomic<UInt>.self, count) else {
      MappedMemory.giveBack(table, count)
      return nil
    }
    self.table = table
    self.slots = slots
  }

  deinit {
    for block in bitmapsInMemory { Self.bitmap(slot(Int(block)))?.deallocate() }
    for bits in spareBitmaps { bits.deallocate() }
    MappedMemory.giveBack(table, count)
    MappedMemory.giveBack(slots, count)
  }

  // MARK: Blocks

  /// The sector where a block's bitmap begins; nil for an absent one.
  @inline(__always)
  func entry(_ block: Int) -> UInt32? {
    // Kept inverted, so that untouched memory means absent.
    let entry = ~table[block]
    return entry == .max ? nil : entry
  }

  /// The offset of a block's first data byte in the file; nil for an absent block.
  @inline(__always)
  func dataOffset(_ block: Int) -> Int64? {
    entry(block).map { Int64($0) * 512 + bitmapLength }
  }

  /// Takes an entry as it was read from the file.
  func load(_ block: Int, entry: UInt32) { table[block] = ~entry }

  /// Enters a new block; its bitmap is all ones or all zeros on disk already.
  func add(_ block: Int, entry: UInt32, full: Bool) {
    table[block] = ~entry
    dirtyEntries.append(UInt32(truncatingIfNeeded: block))
    dirtyCount.add(1, ordering: .relaxed)
    if full {
      setSlot(block, Self.full)
    } else {
      setBitmap(block, makeBitmap())
    }
  }

  // MARK: Sectors

  /// Which sectors of a block are there.
  enum Presence {
    case unread, full
    case partial(UnsafeMutablePointer<Word>)
  }

  @inline(__always)
  func presence(_ block: Int) -> Presence {
    let slot = slot(block)
    if slot == Self.full { return .full }
    return Self.bitmap(slot).map { .partial($0) } ?? .unread
  }

  /// The block that an offset of the disk lies in.
  @inline(__always)
  func block(at offset: Int64) -> Int { Int(offset >> blockShift) }

  /// Takes a bitmap as it was read from the file.
  func loadBitmap(_ block: Int, _ bytes: [UInt8]) {
    let bits = makeBitmap()
    var isFull = true
    for word in 0..<words {
      let value = bytes.big64(at: word * 8)
      bits[word + 1].store(value, ordering: .relaxed)
      let needed: UInt64 = sectors - word * 64 >= 64 ? .max : ~(.max >> UInt64(sectors - word * 64))
      if value & needed != needed { isFull = false }
    }
    if isFull {
      spareBitmaps.append(bits)
      setSlot(block, Self.full)
    } else {
      setBitmap(block, bits)
    }
  }

  /// Whether the sector is there, and the first sector from which on, up to `end`, that is not so.
  @inline(__always)
  func run(
    _ bits: UnsafeMutablePointer<Word>, from first: Int, to end: Int
  ) -> (isThere: Bool, end: Int) {
    var sector = first
    let isThere = (bits[1 + (first >> 6)].load(ordering: .relaxed) << UInt64(first & 63)) >> 63 == 1
    while sector < end {
      let word = bits[1 + (sector >> 6)].load(ordering: .relaxed)
      let rest = (isThere ? ~word : word) << UInt64(sector & 63)
      let same = min(rest.leadingZeroBitCount, 64 - (sector & 63))
      sector += same
      if sector & 63 != 0 || same == 0 { break }
    }
    return (isThere, min(sector, end))
  }

  /// Notes that sectors are there now.
  @inline(__always)
  func set(_ block: Int, _ bits: UnsafeMutablePointer<Word>, from first: Int, to end: Int) {
    var changed = false
    var sector = first
    while sector < end {
      let upTo = min(end, (sector | 63) + 1)
      let count = upTo - sector
      let mask = (count == 64 ? .max : ~(UInt64.max >> UInt64(count))) >> UInt64(sector & 63)
      let word = 1 + (sector >> 6)
      if bits[word].load(ordering: .relaxed) & mask != mask {
        bits[word].bitwiseOr(mask, ordering: .relaxed)
        changed = true
      }
      sector = upTo
    }
    if changed { markDirty(block, bits) }
  }

  private func markDirty(_ block: Int, _ bits: UnsafeMutablePointer<Word>) {
    guard bits[0].exchange(1, ordering: .relaxed) == 0 else { return }
    dirtyLock.locked { dirtyBitmaps.append(UInt32(truncatingIfNeeded: block)) }
    dirtyCount.add(1, ordering: .relaxed)
  }

  // MARK: Writing to disk

  /// What one flush writes after the data is durable.
  struct Dirty {
    var entries: [(block: UInt32, entry: UInt32)] = []
    var bitmaps: [(block: UInt32, bytes: [UInt8])] = []
    var isEmpty: Bool { entries.isEmpty && bitmaps.isEmpty }
  }

  /// How many entries and bitmaps wait for a flush.
  var dirtyItems: Int { dirtyCount.load(ordering: .relaxed) }

  /// Takes what is dirty; it counts as clean from now on. The lock must be held exclusively.
  func takeDirty() -> Dirty {
    var dirty = Dirty()
    dirty.entries = dirtyEntries.sorted().map { ($0, ~table[Int($0)]) }
    dirtyEntries.removeAll(keepingCapacity: true)
    let blocks = dirtyLock.locked {
      defer { dirtyBitmaps.removeAll(keepingCapacity: true) }
      return dirtyBitmaps
    }
    for block in blocks {
      guard let bits = Self.bitmap(slot(Int(block))) else { continue }
      bits[0].store(0, ordering: .relaxed)
      var bytes = [UInt8](repeating: 0, count: Int(bitmapLength))
      for word in 0..<words { bytes.put(bits[word + 1].load(ordering: .relaxed), at: word * 8) }
      dirty.bitmaps.append((block, bytes))
    }
    dirtyCount.store(0, ordering: .relaxed)
    return dirty
  }

  /// Gives back what could not be written.
  func restoreDirty(_ dirty: Dirty) {
    dirtyEntries += dirty.entries.map(\.block)
    dirtyCount.add(dirty.entries.count, ordering: .relaxed)
    for (block, _) in dirty.bitmaps {
      if let bits = Self.bitmap(slot(Int(block))) { markDirty(Int(block), bits) }
    }
  }

  /// Frees bitmaps that are clean, when there are more than `limit`: they can be read again. The lock must be held
  /// exclusively, and nothing that `takeDirty` returned may be on its way to the disk.
  func evict(limit: Int) {
    guard bitmapsInMemory.count > limit else { return }
    bitmapsInMemory.removeAll { block in
      guard let bits = Self.bitmap(slot(Int(block))), bits[0].load(ordering: .relaxed) == 0 else { return false }
      setSlot(Int(block), Self.unread)
      spareBitmaps.append(bits)
      return true
    }
    // After the slots: who sees this count sees them, too. Before the memory is used again: who reads what is in it then sees
    // another count afterwards.
    evictions.add(1, ordering: .releasing)
    atomicMemoryFence(ordering: .releasing)
  }

  // MARK: Memory

  /// Word 0 tells whether it is dirty; the others are the bitmap, the first sector in the highest bit.
  private func makeBitmap() -> UnsafeMutablePointer<Word> {
    if let bits = spareBitmaps.popLast() {
      for word in 0...words { bits[word].store(0, ordering: .relaxed) }
      return bits
    }
    let bits = UnsafeMutablePointer<Word>.allocate(capacity: words + 1)
    for word in 0...words { (bits + word).initialize(to: Atomic(0)) }
    return bits
  }

  private func setBitmap(_ block: Int, _ bits: UnsafeMutablePointer<Word>) {
    setSlot(block, UInt(bitPattern: bits))
    bitmapsInMemory.append(UInt32(truncatingIfNeeded: block))
  }

  @inline(__always)
  private func slot(_ block: Int) -> UInt { slots[block].load(ordering: .acquiring) }

  private func setSlot(_ block: Int, _ slot: UInt) { slots[block].store(slot, ordering: .releasing) }

  @inline(__always)
  private static func bitmap(_ slot: UInt) -> UnsafeMutablePointer<Word>? {
    slot <= full ? nil : UnsafeMutablePointer(bitPattern: slot)
  }
}
