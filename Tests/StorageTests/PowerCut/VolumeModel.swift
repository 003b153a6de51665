import BlockLayers
import Glibc

/// Where the sectors of a volume that a simulation uses are: some here and there, so that a small number of them touches
/// many parts of a file.
struct VolumeLayout: Sendable {
  /// The block size of its layers, in bytes.
  var blockBytes: Int64
  /// Sectors that lie side by side.
  var group: Int
  /// From the beginning of one group to that of the next, in bytes.
  var stride: Int64

  /// All lie side by side: small files.
  static func dense(blockBytes: Int64) -> VolumeLayout {
    VolumeLayout(blockBytes: blockBytes, group: 1 << 20, stride: 1 << 29)
  }

  /// Files of many extents of the write-intent record.
  static let wide = VolumeLayout(blockBytes: 2 << 20, group: 24, stride: (3 << 20) - 8192)

  func offset(of sector: Int) -> Int64 { Int64(sector / group) * stride + Int64(sector % group * 512) }

  /// The size of a volume with so many sectors.
  func size(_ sectors: Int) -> Int64 { offset(of: sectors - 1) + 512 }

  /// The parts of a range that lie side by side.
  func pieces(_ sectors: Range<Int>) -> [Range<Int>] {
    var pieces: [Range<Int>] = []
    var first = sectors.lowerBound
    while first < sectors.upperBound {
      let end = min((first / group + 1) * group, sectors.upperBound)
      pieces.append(first..<end)
      first = end
    }
    return pieces
  }
}

/// What each sector of a volume may hold after a power cut: what was flushed and acknowledged, or what was written since. A
/// sector is known by the number that fills it.
struct VolumeModel: Sendable {
  /// What was flushed.
  private(set) var flushed: [UInt64]
  /// What was written to each sector since, acknowledged or not.
  private(set) var since: [[UInt64]]
  /// The sectors with something in `since`.
  private var unflushed: [Int] = []

  init(sectors: Int) { self.init(exactly: [UInt64](repeating: 0, count: sectors)) }

  init(exactly content: [UInt64]) {
    flushed = content
    since = content.map { _ in [] }
  }

  var sectors: Int { flushed.count }

  mutating func grow(to sectors: Int) {
    flushed += [UInt64](repeating: 0, count: sectors - flushed.count)
    since += [[UInt64]](repeating: [], count: sectors - since.count)
  }

  mutating func write(_ sectors: Range<Int>, _ number: UInt64) {
    for sector in sectors {
      if since[sector].isEmpty { unflushed.append(sector) }
      since[sector].append(number)
    }
  }

  /// All that was written is durable.
  mutating func flush() {
    for sector in unflushed {
      if let last = since[sector].last { flushed[sector] = last }
      since[sector] = []
    }
    unflushed = []
  }

  /// What was written last to these sectors is durable.
  mutating func flush(_ sectors: Range<Int>) {
    for sector in sectors {
      if let last = since[sector].last { flushed[sector] = last }
      since[sector] = []
    }
    unflushed.removeAll { sectors.contains($0) }
  }

  /// A sector that holds what it must not.
  func violation(in content: SectorContent) -> String? {
    for sector in 0..<sectors {
      let found = content.number(of: sector)
      if found == flushed[sector] { continue }
      guard let found else { return "sector \(sector) is torn" }
      guard since[sector].contains(found) else {
        return "sector \(sector) holds \(found) instead of \(flushed[sector]) or one of \(since[sector])"
      }
    }
    return nil
  }
}

/// What the sectors of a device hold.
final class SectorContent {
  private let bytes: UnsafeMutableRawBufferPointer

  init(of device: any BlockDevice, _ layout: VolumeLayout, sectors: Int) throws(BlockError) {
    bytes = .allocate(byteCount: sectors * 512, alignment: 512)
    for piece in layout.pieces(0..<sectors) {
      let buffer = UnsafeMutableRawBufferPointer(rebasing: bytes[piece.lowerBound * 512..<piece.upperBound * 512])
      try device.read(into: buffer, at: layout.offset(of: piece.lowerBound))
    }
  }

  deinit { bytes.deallocate() }

  /// The number that fills a sector; nil where no number does.
  func number(of sector: Int) -> UInt64? {
    guard let start = bytes.baseAddress.map({ $0 + sector * 512 }), memcmp(start, start + 8, 504) == 0 else {
      return nil
    }
    return start.load(as: UInt64.self)
  }

  /// The numbers of all; nil when one is torn.
  var numbers: [UInt64]? {
    let numbers = (0..<bytes.count / 512).compactMap { number(of: $0) }
    return numbers.count == bytes.count / 512 ? numbers : nil
  }
}
