import Synchronization

/// What is read without the lock, in a layer that is only read.
extension BlockMap {
  /// What can be told of a range of one block without the lock, in a layer that is only read.
  enum Glance {
    /// All of it lies at this offset in the file.
    case here(Int64)
    case absent
    /// It is there in part, or that is not in memory.
    case unclear
  }

  /// - Parameters:
  ///   - inBlock: where the range begins in the block, in bytes.
  ///   - count: its length, above 0.
  @inline(__always)
  func glance(_ block: Int, _ inBlock: Int, _ count: Int) -> Glance {
    guard let data = dataOffset(block) else { return .absent }
    let before = evictions.load(ordering: .acquiring)
    switch presence(block) {
    case .full: return .here(data + Int64(inBlock))
    case .unread: return .unclear
    case .partial(let bits):
      let end = (inBlock + count + 511) / 512
      let run = run(bits, from: inBlock / 512, to: end)
      // What was read are the bits of this block, unless their memory has become another one's meanwhile.
      atomicMemoryFence(ordering: .acquiring)
      guard run.end == end, evictions.load(ordering: .relaxed) == before else { return .unclear }
      return run.isThere ? .here(data + Int64(inBlock)) : .absent
    }
  }

  /// Copies the bitmap of a block without the lock, in a layer that is only read: whole words, the first sector in the
  /// highest bit. Nil when it is not in memory.
  func copyBitmap(_ block: Int, to target: UnsafeMutablePointer<UInt64>) -> Bool? {
    let before = evictions.load(ordering: .acquiring)
    switch presence(block) {
    case .full: return true
    case .unread: return nil
    case .partial(let bits):
      for word in 0..<words { target[word] = bits[word + 1].load(ordering: .relaxed) }
      atomicMemoryFence(ordering: .acquiring)
      return evictions.load(ordering: .relaxed) == before ? false : nil
    }
  }
}
