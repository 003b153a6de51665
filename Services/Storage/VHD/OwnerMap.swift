import BlockLayers
import Primitives
import Synchronization

/// Which layer of a run holds each part of the disk, so that a read goes there at once instead of down through all of them.
///
/// The layers of a run are only read, and stay as they are while they are open. (What a merge writes into one of them
/// meanwhile, a layer above it in the run covers: nobody reads it there.)
///
/// A block of the disk consists of cells of 4 KiB. A cell is *unknown*; *owned* by the layer of the run that is asked first
/// of those that hold it, and holds all of it; *below* the run, which holds nothing of it; *zeros*, because it lies behind the
/// end of a layer above those that might hold it; or *mixed*: parts of it are in different places, and it is read step by
/// step. A block is looked up when something of it is read that is unknown, layer by layer, as far down as that takes: no
/// bitmap is read that a way down would not have read.
///
/// Blocks have a bounded number of places, which those share whose numbers are so far apart.
final class OwnerMap: @unchecked Sendable {
  // `tags` and `cells` are atomic and freed after their last user; they are written with `monitor` held. The rest is
  // immutable and Sendable.

  /// Bytes that the cells of a map take at most: all of a disk of 32 GiB.
  static let memory = 8 << 20
  /// Blocks that are known at the same time.
  static let mostPlaces = 16_384
  /// Layers of a run; deeper ones are asked by the last one.
  static let mostLayers = 200

  /// What is known of a cell.
  typealias Owner = UInt8
  enum State {
    static let unknown: Owner = 0
    /// Layers count from here.
    static let first: Owner = 1
    static let mixed: Owner = 253
    static let zeros: Owner = 254
    static let below: Owner = 255
  }

  private let layers: [VHDLayer]
  private let blockSize: Int64
  private let blockShift: Int64
  private let cellsPerBlock: Int
  private let places: Int
  private let monitor = Monitor()
  private let tags: UnsafeMutablePointer<Atomic<UInt64>>
  private let cells: UnsafeMutablePointer<Atomic<Owner>>
  /// Grows between the taking of a place from a block and the use of its cells for another one.
  private let replacements = Atomic<Int>(0)

  /// - Parameters:
  ///   - layers: the run, from the top.
  ///   - places: blocks that are known at the same time; fewer where the memory is not enough.
  /// - Returns: nil when there is nothing to be gained, the blocks are smaller than a cell, or there is no memory.
  init?(_ layers: [VHDLayer], places: Int = mostPlaces) {
    guard layers.count > 1, layers.count <= Self.mostLayers, let map = layers[0].map,
      map.blockSize >= Int64(VHDLayer.cell)
    else { return nil }
    let cellsPerBlock = Int(map.blockSize) / VHDLayer.cell
    let places = max(min(map.count, places, Self.memory / cellsPerBlock), 1)
    guard let tags = MappedMemory.zeros(of: Atomic<UInt64>.self, places) else { return nil }
    guard let cells = MappedMemory.zeros(of: Atomic<Owner>.self, places * cellsPerBlock) else {
      MappedMemory.giveBack(tags, places)
      return nil
    }
    self.layers = layers
    blockSize = map.blockSize
    blockShift = Int64(map.blockSize.trailingZeroBitCount)
    (self.cellsPerBlock, self.places, self.tags, self.cells) = (cellsPerBlock, places, tags, cells)
  }

  deinit {
    MappedMemory.giveBack(tags, places)
    MappedMemory.giveBack(cells, places * cellsPerBlock)
  }

  /// The run of which a layer is the top: those that are only read, with blocks of one size. The last may be a fixed file.
  static func run(from top: VHDLayer?) -> [VHDLayer] {
    var run: [VHDLayer] = []
    var next = top
    while let layer = next, layer.isReadOnly, run.count < mostLayers {
      if let map = layer.map, let first = run.first?.map, map.blockSize != first.blockSize { break }
      run.append(layer)
      next = layer.parent as? VHDLayer
    }
    return run
  }

  // MARK: Reading

  /// Reads what lies inside of the first layer.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    var done = 0
    while done < buffer.count {
      let at = offset + Int64(done)
      let inBlock = at & (blockSize - 1)
      let most = Int(min(Int64(buffer.count - done), blockSize - inBlock))
      let (owner, end) = try owner(Int(at >> blockShift), Int(inBlock), most)
      let count = min(most, end * VHDLayer.cell - Int(inBlock))
      let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
      switch owner {
      case State.unknown, State.mixed: try layers[0].read(into: piece, at: at, stepwise: true)
      case State.zeros: piece.initializeMemory(as: UInt8.self, repeating: 0)
      case State.below: try layers[layers.count - 1].readBelow(piece, at: at)
      default: try layers[Int(owner - State.first)].readOwn(piece, at: at)
      }
      done += count
    }
  }

  /// Who has the first cell of a range of a block, and the cell up to which that is so.
  @inline(__always)
  private func owner(_ block: Int, _ inBlock: Int, _ count: Int) throws(BlockError) -> (Owner, end: Int) {
    let first = inBlock / VHDLayer.cell
    let end = (inBlock + count + VHDLayer.cell - 1) / VHDLayer.cell
    if let known = known(block, first, end) { return known }
    try learn(block, first)
    // Another block may have taken its place.
    return known(block, first, end) ?? (State.unknown, first + 1)
  }

  @inline(__always)
  private func known(_ block: Int, _ first: Int, _ end: Int) -> (Owner, end: Int)? {
    let place = block % places
    let before = replacements.load(ordering: .acquiring)
    let tag = Tag(bits: tags[place].load(ordering: .acquiring))
    guard tag.block == block else { return nil }
    if tag.whole != State.unknown { return (tag.whole, end) }
    let cells = cells + place * cellsPerBlock
    let owner = cells[first].load(ordering: .relaxed)
    var next = first + 1
    while next < end, cells[next].load(ordering: .relaxed) == owner { next += 1 }
    // What was read is about this block, unless its place has become another one's meanwhile.
    atomicMemoryFence(ordering: .acquiring)
    guard owner != State.unknown, replacements.load(ordering: .relaxed) == before else { return nil }
    return (owner, next)
  }

  // MARK: Looking up

  /// Looks a block up until a cell of it is known.
  private func learn(_ block: Int, _ cell: Int) throws(BlockError) {
    let words = UnsafeMutablePointer<UInt64>.allocate(capacity: (cellsPerBlock + 7) / 8)
    defer { words.deallocate() }
    for depth in depth(of: block)..<layers.count {
      // The disk is not waited for with the monitor held.
      let holding = try layers[depth].holding(block, words)
      monitor.locked { note(block, depth, holding, words) }
      if known(block, cell, cell + 1) != nil { return }
    }
  }

  /// How many layers a block was looked up in.
  private func depth(of block: Int) -> Int {
    monitor.locked {
      let tag = Tag(bits: tags[block % places].load(ordering: .relaxed))
      return tag.block == block ? tag.depth : 0
    }
  }

  /// Notes what a layer holds of a block, unless somebody else did.
  private func note(
    _ block: Int, _ depth: Int, _ holding: VHDLayer.Holding, _ words: UnsafeMutablePointer<UInt64>
  ) {
    let place = block % places
    var tag = Tag(bits: tags[place].load(ordering: .relaxed))
    if tag.block != block {
      guard depth == 0 else { return }
      clear(place)
      tag = Tag(block: block)
    }
    // Who lost sight of what is known of the whole block must not make it a deeper layer's.
    guard tag.depth == depth, tag.whole == State.unknown else { return }
    tag.depth += 1
    let isLast = tag.depth == layers.count
    let end = Int64(block + 1) * blockSize
    // Blocks that one layer holds whole, or none holds, take no cells.
    if !tag.hasCells, holding == .all, end <= layers[depth].size {
      tag.whole = State.first + Owner(depth)
    } else if !tag.hasCells, holding == .nothing, end <= layers[depth].size {
      if isLast { tag.whole = State.below }
    } else {
      tag.hasCells = true
      for word in 0..<(cellsPerBlock + 7) / 8 {
        let bits = holding == .some ? words[word] : holding == .all ? .max : 0
        // Most of what a layer above the base holds is nothing.
        if bits == 0, !isLast, end <= layers[depth].size { continue }
        for cell in word * 8..<min(word * 8 + 8, cellsPerBlock) { note(cell, of: block, depth, bits) }
      }
    }
    tags[place].store(tag.bits, ordering: .releasing)
  }

  /// Notes what a layer makes of a cell, unless one above it holds something of it.
  ///
  /// - Parameter bits: the word of the bitmap with the cell, which is a byte of it, the first one the highest.
  private func note(_ cell: Int, of block: Int, _ depth: Int, _ bits: UInt64) {
    let place = cells + block % places * cellsPerBlock + cell
    guard place.pointee.load(ordering: .relaxed) == State.unknown else { return }
    let start = Int64(block) * blockSize + Int64(cell * VHDLayer.cell)
    let size = layers[depth].size
    let here: Owner
    if start >= size {
      here = State.zeros
    } else if start + Int64(VHDLayer.cell) > size {
      here = State.mixed
    } else {
      switch UInt8(truncatingIfNeeded: bits >> UInt64(56 - cell % 8 * 8)) {
      case 0: here = depth == layers.count - 1 ? State.below : State.unknown
      case .max: here = State.first + Owner(depth)
      default: here = State.mixed
      }
    }
    place.pointee.store(here, ordering: .relaxed)
  }

  /// Takes a place from the block that has it.
  private func clear(_ place: Int) {
    let old = Tag(bits: tags[place].load(ordering: .relaxed))
    tags[place].store(0, ordering: .relaxed)
    // After the tag: who sees this count finds the block no more. Before the cells are used again: who reads them then sees
    // another count afterwards.
    replacements.add(1, ordering: .releasing)
    atomicMemoryFence(ordering: .releasing)
    guard old.hasCells else { return }
    let cells = cells + place * cellsPerBlock
    for cell in 0..<cellsPerBlock { cells[cell].store(State.unknown, ordering: .relaxed) }
  }

  /// Whose a place is: bits 25 and above the block's number plus one, 0 for nobody's; bit 24 whether its cells are used;
  /// bits 16 to 23 how many layers it was looked up in; the lowest 8 what all of it is, as far as that is the same.
  private struct Tag {
    var block: Int
    var hasCells = false
    var depth = 0
    var whole = State.unknown

    init(block: Int) { self.block = block }

    @inline(__always)
    init(bits: UInt64) {
      block = Int(bits >> 25) - 1
      hasCells = bits & 1 << 24 != 0
      depth = Int(bits >> 16 & 0xFF)
      whole = Owner(truncatingIfNeeded: bits)
    }

    var bits: UInt64 {
      UInt64(block + 1) << 25 | (hasCells ? 1 << 24 : 0) | UInt64(depth) << 16 | UInt64(whole)
    }
  }
}
