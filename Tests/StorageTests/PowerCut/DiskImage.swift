import BlockLayers
import Glibc

/// The bytes of a file on a simulated disk, most of which are zero, and a hash of each sector that is not.
final class DiskImage {
  /// What a disk writes as a whole, in bytes.
  static let sector = 512
  /// The largest file.
  static let capacity = 48 << 20
  private static let page = 4096
  private static let pages = capacity / page

  let bytes: UnsafeMutableRawPointer
  private let hashes: UnsafeMutablePointer<UInt64>
  /// A bit for each page that may hold something else than zeros.
  private let present: UnsafeMutablePointer<UInt64>
  private(set) var size = 0
  /// Changes with every bit of the content; 0 where all is zero.
  private(set) var hash: UInt64 = 0

  init() {
    guard let memory = MappedMemory.zeros(of: UInt64.self, Self.capacity / 8),
      let hashes = MappedMemory.zeros(of: UInt64.self, Self.capacity / Self.sector),
      let present = MappedMemory.zeros(of: UInt64.self, Self.pages / 64)
    else { fatalError("out of memory") }
    (bytes, self.hashes, self.present) = (UnsafeMutableRawPointer(memory), hashes, present)
  }

  deinit {
    MappedMemory.giveBack(bytes.assumingMemoryBound(to: UInt64.self), Self.capacity / 8)
    MappedMemory.giveBack(hashes, Self.capacity / Self.sector)
    MappedMemory.giveBack(present, Self.pages / 64)
  }

  func hash(of sector: Int) -> UInt64 { hashes[sector] }

  /// The content of a sector; nil where it is zero.
  func data(of sector: Int) -> UnsafeRawPointer? {
    hashes[sector] == 0 ? nil : UnsafeRawPointer(bytes + sector * Self.sector)
  }

  // MARK: Changing

  /// Becomes a copy of another image.
  func copy(_ other: DiskImage) {
    clear()
    other.forEachPage { page in
      memcpy(bytes + page * Self.page, other.bytes + page * Self.page, Self.page)
      memcpy(hashes + page * 8, other.hashes + page * 8, 64)
      present[page >> 6] |= 1 << UInt64(page & 63)
    }
    (size, hash) = (other.size, other.hash)
  }

  /// Becomes an empty file.
  func clear() {
    forEachPage { page in
      memset(bytes + page * Self.page, 0, Self.page)
      memset(hashes + page * 8, 0, 64)
    }
    memset(present, 0, Self.pages / 8)
    (size, hash) = (0, 0)
  }

  /// Gives a sector a content, nil for zeros, that has this hash. What lies behind the end stays as it is.
  func set(_ sector: Int, _ data: UnsafeRawPointer?, _ newHash: UInt64) {
    let start = sector * Self.sector
    guard start < size else { return }
    let count = min(Self.sector, size - start)
    if let data { memcpy(bytes + start, data, count) } else { memset(bytes + start, 0, count) }
    note(sector, newHash)
  }

  /// Sets the length. What is cut off becomes zero.
  func resize(_ newSize: Int) {
    if newSize < size {
      forEachSector(from: newSize) { sector in
        let start = max(sector * Self.sector, newSize)
        memset(bytes + start, 0, (sector + 1) * Self.sector - start)
        note(sector, Self.hash(bytes + sector * Self.sector, sector))
      }
    }
    size = newSize
  }

  /// Overwrites a range, nil with zeros, and tells each sector that is another one then. The image grows as needed.
  func write(_ data: UnsafeRawPointer?, at offset: Int, count: Int, _ changed: (_ sector: Int) -> Void) {
    guard count > 0 else { return }
    if data != nil { size = max(size, offset + count) }
    let end = min(offset + count, size)
    guard offset < end else { return }
    if let data {
      memcpy(bytes + offset, data, end - offset)
      for sector in offset / Self.sector...(end - 1) / Self.sector { renew(sector, changed) }
    } else {
      forEachSector(from: offset) { sector in
        let (start, stop) = (max(sector * Self.sector, offset), min((sector + 1) * Self.sector, end))
        guard start < stop else { return }
        memset(bytes + start, 0, stop - start)
        renew(sector, changed)
      }
    }
  }

  /// Changes one bit, as a disk does by itself.
  func flip(at offset: Int) {
    let byte = bytes.load(fromByteOffset: offset, as: UInt8.self)
    bytes.storeBytes(of: byte ^ 0x10, toByteOffset: offset, as: UInt8.self)
    renew(offset / Self.sector) { _ in }
  }

  private func renew(_ sector: Int, _ changed: (Int) -> Void) {
    let new = Self.hash(bytes + sector * Self.sector, sector)
    guard new != hashes[sector] else { return }
    note(sector, new)
    changed(sector)
  }

  private func note(_ sector: Int, _ new: UInt64) {
    hash ^= hashes[sector] ^ new
    hashes[sector] = new
    let page = sector >> 3
    present[page >> 6] |= 1 << UInt64(page & 63)
  }

  private static func hash(_ data: UnsafeRawPointer, _ sector: Int) -> UInt64 {
    if BlockCopy.isZero(UnsafeRawBufferPointer(start: data, count: Self.sector)) { return 0 }
    // No checksum of the product: a sector that ends with its own would always have the same.
    let words = data.assumingMemoryBound(to: UInt64.self)
    var hash = UInt64(sector)
    for word in 0..<Self.sector / 8 {
      hash = (hash ^ words[word]) &* 0x9e37_79b9_7f4a_7c15
      hash ^= hash >> 29
    }
    return hash | 1
  }

  /// One number out of two, each bit of which depends on all of theirs.
  static func mixed(_ one: UInt64, _ other: UInt64) -> UInt64 {
    var z = one ^ (other &+ 1) &* 0x9e37_79b9_7f4a_7c15
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  // MARK: Looking

  /// The first range at or after an offset that may hold something else than zeros.
  func nextData(at offset: Int) -> Range<Int>? {
    var page = offset / Self.page
    let last = (size + Self.page - 1) / Self.page
    while page < last, !isPresent(page) {
      page = present[page >> 6] >> UInt64(page & 63) == 0 ? (page | 63) + 1 : page + 1
    }
    guard page < last else { return nil }
    let start = max(offset, page * Self.page)
    while page < last, isPresent(page) { page += 1 }
    return start < size ? start..<min(page * Self.page, size) : nil
  }

  private func isPresent(_ page: Int) -> Bool { present[page >> 6] >> UInt64(page & 63) & 1 == 1 }

  private func forEachPage(_ body: (Int) -> Void) {
    for word in 0...max(size - 1, 0) / Self.page / 64 {
      var rest = present[word]
      while rest != 0 {
        body(word << 6 + rest.trailingZeroBitCount)
        rest &= rest &- 1
      }
    }
  }

  /// The sectors that are not zero, from the one that holds an offset on.
  private func forEachSector(from offset: Int, _ body: (Int) -> Void) {
    forEachPage { page in
      guard (page + 1) * Self.page > offset else { return }
      for sector in page * 8..<page * 8 + 8 where hashes[sector] != 0 && (sector + 1) * Self.sector > offset {
        body(sector)
      }
    }
  }
}

extension DiskImage {
  /// Whether two files hold the same, at least outside of some extents.
  static func areEqual(_ one: DiskImage, _ other: DiskImage, in range: Range<Int>? = nil) -> Bool {
    if range == nil { return one.size == other.size && one.hash == other.hash }
    guard let range, !range.isEmpty else { return true }
    return memcmp(one.bytes + range.lowerBound, other.bytes + range.lowerBound, range.count) == 0
  }
}
