import BlockLayers

extension VHDLayer {
  /// How far a repair may go.
  public struct RepairOptions: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Cut off what lies behind the last block.
    public static let dropGarbage = RepairOptions(rawValue: 1)
    /// Forget blocks that cannot be where the table says: what they held reads as zeros, or as the parent.
    public static let dropBlocks = RepairOptions(rawValue: 2)
  }

  /// Repairs what can be repaired, and returns what was found before. Footer and copy are made from each other; what the
  /// options allow is dropped. Durable when it returns; safe to repeat after it was cut off. Nobody may have the file
  /// open.
  public static func repair(_ file: any ByteFile, _ options: RepairOptions = []) throws(BlockError) -> VHDReport {
    let report = try verify(file)
    guard !report.isClean, !report.findings.contains(where: { $0.kind == .unreadable }) else { return report }
    if options.contains(.dropBlocks) { try dropBlocks(report, file) }
    try repairFooters(report, file, options)
    return report
  }

  /// Entries that point outside are dropped; of blocks that lie over each other the later one is.
  private static func dropBlocks(_ report: VHDReport, _ file: any ByteFile) throws(BlockError) {
    let structure = try VHDStructure(file)
    guard let header = structure.header else { return }
    let space = BlockMap.space(blockSize: header.blockSize)
    let metadata = structure.metadata
    var found: [(entry: UInt32, at: Int64)] = []
    try structure.forEachEntry(header, in: file) { block, entry in
      found.append((entry, header.tableOffset + 4 * Int64(block)))
    }
    var bad: [Int64] = []
    var end: Int64 = 0
    for (entry, at) in found.sorted(by: { ($0.entry, $0.at) < ($1.entry, $1.at) }) {
      let start = Int64(entry) * 512
      let isFree = !metadata.contains { $0.overlaps(start..<start + space) }
      if start >= end, start + space <= structure.fileSize, isFree { end = start + space } else { bad.append(at) }
    }
    for at in bad { try file.vhdWrite([0xff, 0xff, 0xff, 0xff], at: at) }
    if !bad.isEmpty { try file.flush() }
  }

  private static func repairFooters(
    _ report: VHDReport, _ file: any ByteFile, _ options: RepairOptions
  ) throws(BlockError) {
    let structure = try VHDStructure(file)
    let kinds = Set(report.findings.map(\.kind))
    if kinds.contains(.copyDamaged) {
      try file.vhdWrite(structure.footerBytes, at: 0)
      try file.flush()
    }
    let end = try endOfContent(structure, file)
    if !kinds.contains(.trailingGarbage) || options.contains(.dropGarbage) {
      try file.truncate(to: end)
      try file.vhdWrite(structure.footerBytes, at: end)
      try file.flush()
    } else if structure.usedCopy || structure.footerLength < VHDFooter.length {
      // Behind all there is: to drop it was not allowed.
      try file.vhdWrite(structure.footerBytes, at: roundUp(structure.fileSize, to: 512))
      try file.flush()
    }
  }

  /// Where the last block, or the last structure, ends.
  private static func endOfContent(_ structure: VHDStructure, _ file: any ByteFile) throws(BlockError) -> Int64 {
    guard let header = structure.header else { return structure.size }
    let space = BlockMap.space(blockSize: header.blockSize)
    var end = structure.metadata.map(\.upperBound).max() ?? 0
    try structure.forEachEntry(header, in: file) { _, entry in
      let blockEnd = Int64(entry) * 512 + space
      // What lies outside holds nothing.
      if blockEnd <= structure.fileSize { end = max(end, blockEnd) }
    }
    return roundUp(end, to: 512)
  }
}
