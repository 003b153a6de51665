import Glibc

/// Checksums of a layer's file on one leg, of those extents that a scrub *sealed*.
///
/// The file, all numbers little endian: for each extent of `IntentRecord` a page of 4,608 bytes at its number times that.
///
///     page      0..<508 head, 508..<512 CRC32C of the head, 512..<4608 CRC32C of each block of 4 KiB
///     head      0..<8 "FTVSSUMS", 8..<12 version (1), 12..<16 number of the extent, 16..<20 bytes that are covered, from
///               the extent's beginning, 20..<24 CRC32C of the 4,096 bytes behind the head, the rest zero
///
/// A page counts only while its extent is cold (`IntentRecord.swift`), and before an extent becomes cold its page is made
/// *void*: all zeros in the head. So a page that counts is of what the extent holds since it became cold. One that is
/// damaged, torn or of another extent counts as void: nothing is known then.
public final class SumFile: Sendable {
  /// Bytes that one checksum covers.
  static let blockBytes = 4 << 10
  /// Blocks of an extent.
  static let extentBlocks = Int(IntentRecord.extentBytes) / blockBytes
  static let pageBytes = 512 + sumBytes
  private static let sumBytes = Int(IntentRecord.extentBytes) / blockBytes * 4
  private static let magic: UInt64 = 0x534D_5553_5356_5446
  private static let version: UInt32 = 1

  /// The checksums of one extent.
  struct Page: Sendable, Equatable {
    /// Bytes from the extent's beginning on that are covered.
    var coveredBytes: Int
    /// One for each block, the last one maybe of a shorter one.
    var sums: [UInt32]
  }

  private let file: any ByteFile

  /// The checksums in this file, which may be empty.
  public init(_ file: any ByteFile) { self.file = file }

  /// Ends the use.
  public func close() { file.close() }

  /// Extents that may have a page: those below this number.
  func end() -> Int {
    guard let size = try? file.size() else { return IntentRecord.extentLimit }
    return Int(min((size + Int64(Self.pageBytes) - 1) / Int64(Self.pageBytes), Int64(IntentRecord.extentLimit)))
  }

  /// The page of an extent; nil when it is void, or not to be trusted.
  func page(of extent: Int) -> Page? {
    var bytes = [UInt8](repeating: 0, count: Self.pageBytes)
    let isRead = bytes.withUnsafeMutableBytes { buffer in
      (try? file.read(into: buffer, at: Int64(extent) * Int64(Self.pageBytes))) != nil
    }
    return isRead ? bytes.withUnsafeBytes { Self.decode($0, extent) } : nil
  }

  /// What `page` returns, where that waits for no disk; nil where it would.
  func pageWithoutWaiting(of extent: Int) -> Page?? {
    var bytes = [UInt8](repeating: 0, count: Self.pageBytes)
    let isRead = bytes.withUnsafeMutableBytes { buffer in
      (try? file.readWithoutWaiting(into: buffer, at: Int64(extent) * Int64(Self.pageBytes))) == true
    }
    return isRead ? .some(bytes.withUnsafeBytes { Self.decode($0, extent) }) : nil
  }

  private static func decode(_ bytes: UnsafeRawBufferPointer, _ extent: Int) -> Page? {
    func get(_ offset: Int) -> UInt32 {
      UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
    let covered = Int(get(16))
    guard UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)) == magic, get(8) == version,
      get(12) == UInt32(extent), covered <= Int(IntentRecord.extentBytes),
      get(508) == CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<508])),
      get(20) == CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[512...]))
    else { return nil }
    let blocks = (covered + blockBytes - 1) / blockBytes
    return Page(coveredBytes: covered, sums: (0..<blocks).map { get(512 + $0 * 4) })
  }

  /// Writes the page of an extent, not durably.
  func write(_ page: Page, of extent: Int) throws(BlockError) {
    var bytes = [UInt8](repeating: 0, count: Self.pageBytes)
    bytes.withUnsafeMutableBytes { bytes in
      func put(_ value: UInt32, at offset: Int) {
        bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt32.self)
      }
      bytes.storeBytes(of: Self.magic.littleEndian, as: UInt64.self)
      put(Self.version, at: 8)
      put(UInt32(extent), at: 12)
      put(UInt32(page.coveredBytes), at: 16)
      for (index, sum) in page.sums.enumerated() { put(sum, at: 512 + index * 4) }
      put(CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[512...])), at: 20)
      put(CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<508])), at: 508)
    }
    try write(bytes, at: Int64(extent) * Int64(Self.pageBytes))
  }

  /// Makes the pages of these extents void, or all, durably.
  func void(_ extents: ExtentSet?) throws(BlockError) {
    if let extents {
      let end = end()
      let heads = extents.all.filter { $0 < end }
      if heads.isEmpty { return }
      let head = [UInt8](repeating: 0, count: 512)
      for extent in heads { try write(head, at: Int64(extent) * Int64(Self.pageBytes)) }
    } else {
      try file.truncate(to: 0)
    }
    try file.flush()
  }

  private func write(_ bytes: [UInt8], at offset: Int64) throws(BlockError) {
    let failure = bytes.withUnsafeBytes { bytes -> BlockError? in
      do throws(BlockError) { try file.write(bytes, at: offset) } catch { return error }
      return nil
    }
    if let failure { throw failure }
  }
}
