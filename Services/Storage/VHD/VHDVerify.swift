import BlockLayers

extension VHDLayer {
  /// Looks whether a file's structures are as they should be. Reads only; what the blocks hold is not looked at.
  ///
  /// - Throws: only what reading the file throws; whatever is wrong with its content is in the report.
  public static func verify(_ file: any ByteFile) throws(BlockError) -> VHDReport {
    var report = VHDReport()
    let structure: VHDStructure
    do throws(BlockError) {
      structure = try VHDStructure(file)
    } catch {
      guard [.damaged, .tooLarge, .outOfRange].contains(error.kind) else { throw error }
      report.add(.unreadable, at: 0, error.place)
      return report
    }
    try verifyFooters(structure, file, &report)
    guard let header = structure.header else { return report }
    let blocks = try verifyTable(structure, header, file, &report)
    verifyPlaces(structure, header, blocks, &report)
    if structure.kind == .dynamic { try verifyBitmaps(header, blocks, file, &report) }
    return report
  }

  private static func verifyFooters(
    _ structure: VHDStructure, _ file: any ByteFile, _ report: inout VHDReport
  ) throws(BlockError) {
    let end = structure.fileSize - Int64(structure.footerLength)
    if structure.usedCopy {
      report.add(.footerDamaged, at: end, "the footer at the end is missing or damaged; its copy is used")
    } else if structure.footerLength < VHDFooter.length {
      report.add(.footerShort, at: end, "the footer at the end has 511 bytes")
    }
    guard structure.kind != .fixed, !structure.usedCopy else { return }
    let copy = try file.vhdBytes(at: 0, count: VHDFooter.length)
    if copy != structure.footerBytes {
      report.add(
        .copyDamaged, at: 0,
        VHDFooter(copy) == nil ? "the copy of the footer is damaged" : "the copy of the footer says something else")
    }
  }

  /// A block and where it is.
  private struct Place {
    var block: Int
    var start: Int64
  }

  private static func verifyTable(
    _ structure: VHDStructure, _ header: VHDHeader, _ file: any ByteFile, _ report: inout VHDReport
  ) throws(BlockError) -> [Place] {
    let space = BlockMap.space(blockSize: header.blockSize)
    let metadata = structure.metadata
    var entries: [Place] = []
    try structure.forEachEntry(header, in: file) { block, entry in
      entries.append(Place(block: block, start: Int64(entry) * 512))
    }
    // Asked after the table was read: a file that is being written may have grown meanwhile.
    let fileSize = max(structure.fileSize, try file.size())
    var places: [Place] = []
    for place in entries {
      let isOutside = place.start + space > fileSize
      if isOutside || metadata.contains(where: { $0.overlaps(place.start..<place.start + space) }) {
        report.add(
          .entryOutside, at: header.tableOffset + 4 * Int64(place.block),
          "block \(place.block) is said to be at \(place.start), "
            + (isOutside ? "outside of the file" : "over the file's structures"))
      } else {
        places.append(place)
      }
    }
    report.blocks = places.count
    return places.sorted { $0.start < $1.start }
  }

  /// Overlaps, gaps, and what is behind the last block.
  private static func verifyPlaces(
    _ structure: VHDStructure, _ header: VHDHeader, _ places: [Place], _ report: inout VHDReport
  ) {
    let space = BlockMap.space(blockSize: header.blockSize)
    var taken = structure.metadata + places.map { $0.start..<$0.start + space }
    taken.sort { $0.lowerBound < $1.lowerBound }
    for (one, other) in zip(places, places.dropFirst()) where one.start + space > other.start {
      report.add(
        .entryOverlaps, at: other.start, "blocks \(one.block) and \(other.block) lie over each other at \(other.start)")
    }
    var end: Int64 = 0
    for range in taken {
      // Up to a page is left out so that data begins on one.
      if range.lowerBound - end > 4096 { report.leakedBytes += range.lowerBound - end }
      end = max(end, range.upperBound)
    }
    if report.leakedBytes > 0 {
      report.add(.spaceLeaked, at: 0, "\(report.leakedBytes) bytes between blocks belong to nothing")
    }
    // Where the footer is damaged, its place is still there.
    let rest = structure.fileSize - Int64(structure.footerLength) - roundUp(end, to: 512)
    if rest > 0 { report.add(.trailingGarbage, at: end, "\(rest) bytes behind the last block belong to nothing") }
  }

  private static func verifyBitmaps(
    _ header: VHDHeader, _ places: [Place], _ file: any ByteFile, _ report: inout VHDReport
  ) throws(BlockError) {
    let length = Int((header.blockSize / 512 + 7) / 8)
    for place in places {
      let bitmap = try file.vhdBytes(at: place.start, count: length)
      if !bitmap.allSatisfy({ $0 == 0xff }) {
        report.add(.bitmapIncomplete, at: place.start, "block \(place.block) has sectors that count as not there")
      }
    }
  }
}
