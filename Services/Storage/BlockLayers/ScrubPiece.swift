import Primitives

/// A piece of a file whose range is locked while it is scrubbed.
struct ScrubPiece {
  var offset: Int64
  var count: Int
  var expected: ExpectedSums
}

extension MirroredFile {
  /// Checks each block of a piece, and repairs it. Returns the checksums of what is right.
  func check(_ piece: ScrubPiece, _ legs: Pair, _ report: inout ScrubReport) throws(BlockError) -> [UInt32] {
    let read = try bytes(of: legs, at: piece.offset, count: piece.count)
    let (one, two) = (ReadPiece(read.first, piece.count), ReadPiece(read.second, piece.count))
    var sums: [UInt32] = []
    for (block, start) in stride(from: 0, to: piece.count, by: SumFile.blockBytes).enumerated() {
      let range = start..<min(start + SumFile.blockBytes, piece.count)
      let at = piece.offset + Int64(start)
      let left = try sum(of: range, in: one, legs.first, at: at)
      let right = try sum(of: range, in: two, legs.second, at: at)
      switch Verdict(left, right, expected: piece.expected.sum(block, range.count)) {
      case .equal(let sum): sums.append(sum)
      case .firstIsRight(let sum, let isDecided):
        try rewrite(legs.second, one.bytes(range), at: at)
        if isDecided {
          report.repairedBlocks[legs.second.id, default: 0] += 1
        } else {
          report.undecidedBlocks += 1
        }
        sums.append(sum)
      case .secondIsRight(let sum):
        try rewrite(legs.first, two.bytes(range), at: at)
        report.repairedBlocks[legs.first.id, default: 0] += 1
        sums.append(sum)
      case .lost:
        report.lostBlocks += 1
        sums.append(0)
      }
    }
    return sums
  }

  /// The checksum of a block; nil when it cannot be read. A piece that could not be read is read block by block.
  private func sum(
    of range: Range<Int>, in piece: ReadPiece, _ leg: Leg, at offset: Int64
  ) throws(BlockError) -> UInt32? {
    if !piece.isRead {
      let block = try onOne(leg) { (leg) throws(BlockError) in
        let block = CallBuffer(count: range.count)
        try leg.file.read(into: block.bytes, at: offset)
        return block
      }
      guard case .success(let block) = block else { return nil }
      piece.put(block, at: range.lowerBound)
    }
    return CRC32C.checksum(piece.bytes(range))
  }
}

/// What a leg gave of a piece.
private struct ReadPiece {
  /// Whether all of it was read at once.
  let isRead: Bool
  private let buffer: CallBuffer

  init(_ read: Result<CallBuffer, BlockError>, _ count: Int) {
    switch read {
    case .success(let buffer): (isRead, self.buffer) = (true, buffer)
    case .failure: (isRead, buffer) = (false, CallBuffer(count: count))
    }
  }

  func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: buffer.content[range])
  }

  /// Puts a block that was read by itself into its place.
  func put(_ block: CallBuffer, at start: Int) {
    UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[start...]).copyMemory(from: block.content)
  }
}

/// What the checksums of a block on both legs mean.
private enum Verdict {
  case equal(UInt32)
  case firstIsRight(UInt32, isDecided: Bool)
  case secondIsRight(UInt32)
  case lost

  /// - Parameters:
  ///   - first: what the first leg holds; nil when it cannot be read.
  ///   - expected: what both should hold; nil when that is not known.
  init(_ first: UInt32?, _ second: UInt32?, expected: UInt32?) {
    switch (first, second) {
    case (let one?, let two?) where one == two: self = expected == nil || expected == one ? .equal(one) : .lost
    case (let one?, _) where one == expected: self = .firstIsRight(one, isDecided: true)
    case (_, let two?) where two == expected: self = .secondIsRight(two)
    case (nil, let two?) where expected == nil: self = .secondIsRight(two)
    case (let one?, nil) where expected == nil: self = .firstIsRight(one, isDecided: true)
    case (let one?, _) where expected == nil: self = .firstIsRight(one, isDecided: false)
    default: self = .lost
    }
  }
}
