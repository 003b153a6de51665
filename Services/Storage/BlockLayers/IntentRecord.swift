import Glibc

/// What a leg's write-intent record says: in which extents of a layer's file the other leg may hold something else.
///
/// The file of a record, all numbers little endian:
///
///     0         slot 0
///     256 KiB   slot 1
///
///     slot      sectors of 512 bytes: one head, then as many of the bitmap as the head says
///     sector    0..<496 payload, 496..<504 counter, 504..<508 number of the sector in its slot,
///               508..<512 CRC32C of the 508 bytes before
///     head      0..<8 "FTVSWRIT", 8..<12 version (1), 12..<16 bytes of an extent, 16..<20 sectors of the slot,
///               20..<24 flags (bit 0: every extent is hot), 24..<40 identity, 40..<56 identity before the last
///               clearing, 56..<64 counter of the last record that both legs had, 64..<72 that counter at the last
///               clearing, the rest zero
///     bitmap    bit n of byte m is extent 8m + n of what the sector covers: 3,968 extents
///
/// A record is written whole into the slot that does not hold the newest one, with the next counter, and synced. A slot is
/// *valid* when every sector of it is sound and has the same counter; *torn* when its sectors are sound but of different
/// records, or not written yet: the power failed, nothing that needed this record was written to the layer, and the other
/// slot holds what counts. A sector that is not sound was damaged: then nothing is known, and all is hot.
///
/// States of an extent: *cold* (equal on both legs) and *hot* (maybe not). It becomes hot in a durable record before its
/// first change is given to any leg. It becomes cold, a *clearing*, only while both legs have it, and both were synced
/// since. Each clearing draws a new identity. So two records with the same identity were never cleared since they parted,
/// and all in which their legs differ is hot in one of them or the other.
struct IntentRecord: Sendable, Equatable {
  /// Bytes of a layer's file that one bit stands for.
  static let extentBytes: Int64 = 4 << 20
  /// Extents that a record can tell apart: 4 TiB. All that lies behind counts as the last one.
  static let extentLimit = 1 << 20

  /// Which clearing it is that all since are based on; random.
  struct Identity: Sendable, Equatable {
    var high: UInt64
    var low: UInt64

    static let none = Identity(high: 0, low: 0)

    static func random() -> Identity {
      Identity(high: .random(in: 1 ... .max), low: .random(in: .min ... .max))
    }
  }

  /// Grows with each record that is written.
  var counter: UInt64 = 0
  var identity: Identity
  /// The identity before the last clearing.
  var previous = Identity.none
  /// Counter of the newest record that was meant for both legs.
  var mirrored: UInt64 = 0
  /// `mirrored` as it was before the last clearing: a leg that has that record knows all that was cleared.
  var mirroredBeforeClearing: UInt64 = 0
  /// Whether nothing is known: every extent may differ.
  var isAllHot = false
  var hot = ExtentSet()

  /// The extents in which the legs of two records may differ; nil when it may be any.
  static func difference(_ one: IntentRecord?, _ two: IntentRecord?) -> ExtentSet? {
    guard let one, let two, !one.isAllHot, !two.isAllHot, one.isOfKin(to: two) else { return nil }
    return one.hot.union(two.hot)
  }

  private func isOfKin(to other: IntentRecord) -> Bool {
    guard identity != .none, other.identity != .none else { return false }
    return identity == other.identity || isOneClearingAhead(of: other) || other.isOneClearingAhead(of: self)
  }

  /// Whether this was cleared once and the other not, because its leg failed at that moment.
  private func isOneClearingAhead(of other: IntentRecord) -> Bool {
    previous == other.identity && other.mirrored >= mirroredBeforeClearing
  }

  /// The extents that a range of the file touches.
  @inline(__always)
  static func extents(at offset: Int64, count: Int64) -> ClosedRange<Int> {
    let first = min(max(offset, 0) / extentBytes, Int64(extentLimit - 1))
    let last = min(max(offset &+ max(count, 1) &- 1, 0) / extentBytes, Int64(extentLimit - 1))
    return Int(first)...Int(max(first, last))
  }

  /// The bytes of a file that an extent stands for, where the file has this length.
  static func bytes(of extent: Int, in length: Int64) -> Range<Int64> {
    let start = min(Int64(extent) * extentBytes, length)
    let end = extent == extentLimit - 1 ? length : min(start + extentBytes, length)
    return start..<end
  }
}

// MARK: - On disk

extension IntentRecord {
  static let sectorBytes = 512
  static let slotBytes: Int64 = 256 << 10
  private static let payloadBytes = 496
  private static let magic: UInt64 = 0x5449_5257_5356_5446
  private static let version: UInt32 = 1
  private static let sectorLimit = 1 + (extentLimit / 8 + payloadBytes - 1) / payloadBytes

  /// What a slot holds.
  enum Slot: Sendable, Equatable {
    case valid(IntentRecord)
    case torn
    case damaged
  }

  /// The bytes of a slot.
  func encoded() -> [UInt8] {
    let bits = hot.words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) } }
    let sectors = 1 + (bits.count + Self.payloadBytes - 1) / Self.payloadBytes
    var slot = [UInt8](repeating: 0, count: sectors * Self.sectorBytes)
    slot.withUnsafeMutableBytes { slot in
      func put<T: FixedWidthInteger>(_ value: T, at offset: Int) {
        slot.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
      }
      put(Self.magic, at: 0)
      put(Self.version, at: 8)
      put(UInt32(Self.extentBytes), at: 12)
      put(UInt32(sectors), at: 16)
      put(UInt32(isAllHot ? 1 : 0), at: 20)
      put(identity.high, at: 24)
      put(identity.low, at: 32)
      put(previous.high, at: 40)
      put(previous.low, at: 48)
      put(mirrored, at: 56)
      put(mirroredBeforeClearing, at: 64)
      for (index, byte) in bits.enumerated() {
        slot[(1 + index / Self.payloadBytes) * Self.sectorBytes + index % Self.payloadBytes] = byte
      }
      for sector in 0..<sectors {
        let start = sector * Self.sectorBytes
        put(counter, at: start + 496)
        put(UInt32(sector), at: start + 504)
        put(Self.checksum(UnsafeRawBufferPointer(slot), sector), at: start + 508)
      }
    }
    return slot
  }

  private static func checksum(_ slot: UnsafeRawBufferPointer, _ sector: Int) -> UInt32 {
    CRC32C.checksum(UnsafeRawBufferPointer(rebasing: slot[sector * sectorBytes..<sector * sectorBytes + 508]))
  }

  /// Bytes that the record of a slot takes, as far as its first sector can be believed.
  static func length(of slot: UnsafeRawBufferPointer) -> Int {
    guard slot.count >= sectorBytes else { return sectorBytes }
    return Int(UInt32(littleEndian: slot.loadUnaligned(fromByteOffset: 16, as: UInt32.self))) * sectorBytes
  }

  /// What the bytes of a slot mean; what is missing at their end was never written.
  static func decode(_ slot: UnsafeRawBufferPointer) -> Slot {
    switch sector(0, of: slot, counter: nil) {
    case .blank, .other: return .torn
    case .damaged: return .damaged
    case .sound(let counter): return decode(slot, counter)
    }
  }

  private static func decode(_ slot: UnsafeRawBufferPointer, _ counter: UInt64) -> Slot {
    func get<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T {
      T(littleEndian: slot.loadUnaligned(fromByteOffset: offset, as: T.self))
    }
    let sectors = Int(get(UInt32.self, at: 16))
    guard get(UInt64.self, at: 0) == magic, get(UInt32.self, at: 8) == version,
      get(UInt32.self, at: 12) == UInt32(extentBytes), sectors >= 1, sectors <= sectorLimit
    else { return .damaged }
    var isTorn = false
    for index in 1..<max(sectors, 1) {
      switch sector(index, of: slot, counter: counter) {
      case .sound: break
      case .other, .blank: isTorn = true
      case .damaged: return .damaged
      }
    }
    if isTorn { return .torn }
    var words = [UInt64](repeating: 0, count: ((sectors - 1) * payloadBytes + 7) / 8)
    for index in 0..<(sectors - 1) * payloadBytes {
      let byte = slot[(1 + index / payloadBytes) * sectorBytes + index % payloadBytes]
      words[index / 8] |= UInt64(byte) << UInt64(index % 8 * 8)
    }
    return .valid(
      IntentRecord(
        counter: counter, identity: Identity(high: get(UInt64.self, at: 24), low: get(UInt64.self, at: 32)),
        previous: Identity(high: get(UInt64.self, at: 40), low: get(UInt64.self, at: 48)),
        mirrored: get(UInt64.self, at: 56), mirroredBeforeClearing: get(UInt64.self, at: 64),
        isAllHot: get(UInt32.self, at: 20) & 1 == 1, hot: ExtentSet(words: words)))
  }

  private enum Sector {
    case sound(UInt64)
    /// Of another record than the one asked for.
    case other
    case blank
    case damaged
  }

  private static func sector(_ index: Int, of slot: UnsafeRawBufferPointer, counter: UInt64?) -> Sector {
    let start = index * sectorBytes
    guard start + sectorBytes <= slot.count else { return .blank }
    let bytes = UnsafeRawBufferPointer(rebasing: slot[start..<start + sectorBytes])
    if BlockCopy.isZero(bytes) { return .blank }
    func get<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T {
      T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }
    guard get(UInt32.self, at: 508) == checksum(slot, index), get(UInt32.self, at: 504) == UInt32(index) else {
      return .damaged
    }
    let found = get(UInt64.self, at: 496)
    if let counter, found != counter { return .other }
    return .sound(found)
  }
}
