import BlockLayers

extension VHDLayer {
  /// Enters into a file what a process that was killed knew of it and had not written yet. Afterwards the file shows all
  /// that was acknowledged. Durable when it returns; safe to repeat after a crash at any point.
  ///
  /// Nobody may have the file open, and it must not have been opened for writing since.
  ///
  /// - Throws: `damaged` when the records contradict the file.
  public static func settle(_ found: MetadataLog.Found, in file: any ByteFile) throws(BlockError) {
    let structure = try VHDStructure(file)
    guard structure.identity.uuid == found.layer else {
      throw BlockError(.damaged, "\(file.name) is layer \(structure.identity.uuid), not \(found.layer)")
    }
    guard let header = structure.header, !found.records.isEmpty else { return }
    let entries = try newEntries(found.records, structure, header, file)
    // It refuses what lies over something else or outside.
    let (map, _) = try loadTable(file, header, structure, adding: entries)
    let bitmaps = try bitmaps(found.records, map, file)
    // Data first, as in a flush: the power may still fail.
    try file.flush()
    for (data, bytes) in bitmaps { try file.vhdWrite(bytes, at: data - map.bitmapLength) }
    for (block, entry) in entries {
      var bytes: [UInt8] = [0, 0, 0, 0]
      bytes.put(entry, at: 0)
      try file.vhdWrite(bytes, at: header.tableOffset + 4 * Int64(block))
    }
    try file.flush()
  }

  /// Entries of blocks that the table does not have.
  private static func newEntries(
    _ records: [MetadataLog.Record], _ structure: VHDStructure, _ header: VHDHeader, _ file: any ByteFile
  ) throws(BlockError) -> [(block: Int, entry: UInt32)] {
    let count = VHDStructure.blockCount(size: structure.size, blockSize: header.blockSize)
    var entries: [Int: UInt32] = [:]
    for case .entry(let block, let sector) in records {
      guard Int64(block) < count else { throw contradiction(file, "block \(block) of \(count)") }
      let present = try file.vhdBytes(at: header.tableOffset + 4 * Int64(block), count: 4).big32(at: 0)
      guard present == .max || present == sector, entries[Int(block)].map({ $0 == sector }) ?? true else {
        throw contradiction(file, "two places of block \(block)")
      }
      if present == .max { entries[Int(block)] = sector }
    }
    return entries.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// The bitmaps with the bits that are not there yet, each with the place of its block's data.
  private static func bitmaps(
    _ records: [MetadataLog.Record], _ map: BlockMap, _ file: any ByteFile
  ) throws(BlockError) -> [(data: Int64, bytes: [UInt8])] {
    var bitmaps: [UInt32: (data: Int64, bytes: [UInt8])] = [:]
    for case .cells(let block, let first, let count) in records {
      guard Int(block) < map.count, Int64(first + count) * Int64(cell) <= map.blockSize,
        let data = map.dataOffset(Int(block))
      else { throw contradiction(file, "cells of block \(block), which is not there") }
      var bitmap = bitmaps[block] ?? (data, [])
      if bitmap.bytes.isEmpty {
        bitmap.bytes = try file.vhdBytes(at: data - map.bitmapLength, count: Int(map.bitmapLength))
      }
      // A cell has eight sectors: its bits are one byte.
      for byte in first..<first + count { bitmap.bytes[byte] = 0xff }
      bitmaps[block] = bitmap
    }
    return bitmaps.values.sorted { $0.data < $1.data }
  }

  private static func contradiction(_ file: any ByteFile, _ what: String) -> BlockError {
    BlockError(.damaged, "\(file.name) contradicts what is left of the process that wrote it last: \(what)")
  }
}
