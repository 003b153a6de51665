import BlockLayers
import Primitives
import Synchronization

/// Keeps what changed in a volume since its newest checkpoint, so that it is never too little, whatever is killed or loses power.
///
/// A granule counts as changed when the state names it (it is *known*), or when the state calls its span *hot*: then all of
/// the span counts. Before the first write to a granule that counts as neither, its span is made hot, durably. What really
/// changed is in memory; a hot span in which nothing new changed for a while becomes known exactly and is no longer hot, and so does
/// every one when the volume is closed. After a crash the spans that were hot count whole: too much, never too little.
final class ChangeTracker: Sendable {
  /// What a span's row in the state says.
  struct Row: Sendable, Equatable {
    var span: Int
    /// What is known of it; empty for nothing.
    var words: [UInt64]
    var isHot: Bool
  }

  /// Makes durable that spans are hot. Blocks.
  typealias Heater = @Sendable (_ spans: [Int]) throws(BlockError) -> Void
  /// Makes durable what is known of spans, which are not hot from then on. Blocks.
  typealias Saver = @Sendable (_ rows: [Row]) throws(BlockError) -> Void

  /// The row of `checkpoint` that this is for.
  let checkpoint: Int64
  private let changed: ChangeMap
  /// What counts as changed even when no span is hot.
  private let known: ChangeMap
  private let isHot: HotSpans
  private let heat: Heater
  private let store: Saver

  /// What is changed by one thread at a time. It is held while the state is written, which must not wait for a volume's lock.
  private struct Changing {
    /// The hot spans, and how many granules of each had changed when somebody last looked.
    var hot: [Int: Int] = [:]
    /// How many spans are made hot at once, and when that was done last.
    var reach = StorageLimits.firstHotSpans
    var last: ContinuousClock.Instant?
  }
  private let changing = Mutex(Changing())

  /// - Parameter rows: what the state says.
  init(
    checkpoint: Int64, sizeBytes: Int64, rows: [Row], heat: @escaping Heater, store: @escaping Saver
  ) {
    self.checkpoint = checkpoint
    changed = ChangeMap(sizeBytes: sizeBytes)
    known = ChangeMap(sizeBytes: sizeBytes)
    isHot = HotSpans(changed.spanCount)
    self.heat = heat
    self.store = store
    for row in rows {
      // Nobody knows any more which part of a hot one changed.
      changed.formUnion(row.counted, ofSpan: row.span)
      known.formUnion(row.counted, ofSpan: row.span)
    }
  }

  /// Makes a range count as changed. To be called before it is written, with the range inside of the volume. Blocks for the
  /// disks when that is new.
  @inline(__always)
  func admit(at offset: Int64, count: Int64) throws(BlockError) {
    guard count > 0 else { return }
    let first = Int(offset / ChangeMap.granuleBytes)
    let last = Int((offset + count - 1) / ChangeMap.granuleBytes)
    for granule in first...last where !counts(granule) { return try admitSlowly(first...last) }
  }

  /// Notes that a granule changed. Returns whether the state says so already.
  ///
  /// The order is what makes it safe: the bit is set before the span is found hot, and whoever ends that reads the bits after.
  @inline(__always)
  private func counts(_ granule: Int) -> Bool {
    if !changed.has(granule) { changed.insert(granule) }
    return isHot[Self.span(of: granule)] || known.has(granule)
  }

  private static func span(of granule: Int) -> Int { granule / (ChangeMap.spanWords * 64) }

  private func admitSlowly(_ granules: ClosedRange<Int>) throws(BlockError) {
    let failure = changing.withLock { changing -> BlockError? in
      var cold: [Int] = []
      for granule in granules where !counts(granule) {
        let span = Self.span(of: granule)
        if cold.last != span { cold.append(span) }
      }
      guard let first = cold.first, let last = cold.last else { return nil }
      let spans = widened(first...last, &changing)
      do throws(BlockError) { try heat(spans) } catch { return error }
      for span in spans {
        changing.hot[span] = 0
        isHot[span] = true
      }
      changing.last = .now
      return nil
    }
    if let failure { throw failure }
  }

  /// The spans to be made hot together: more of them while one follows the other, because each time waits for a disk.
  private func widened(_ spans: ClosedRange<Int>, _ changing: inout Changing) -> [Int] {
    if let last = changing.last, last.duration(to: .now) < StorageLimits.hotSpanBurst {
      changing.reach = min(changing.reach * 2, StorageLimits.mostHotSpans)
    } else {
      changing.reach = StorageLimits.firstHotSpans
    }
    let lower = spans.lowerBound / changing.reach * changing.reach
    let upper = min((spans.upperBound / changing.reach + 1) * changing.reach, changed.spanCount)
    return (lower..<upper).filter { !isHot[$0] }
  }

  /// Stores exactly what changed in hot spans in which nothing new changed since the last call, or in `all`. Blocks.
  ///
  /// Where that fails the spans stay hot in the state: more counts as changed than did.
  func save(all: Bool) throws(BlockError) {
    let failure = changing.withLock { changing -> BlockError? in
      var spans: [Int] = []
      for (span, before) in changing.hot {
        let now = count(in: span)
        if all || now == before { spans.append(span) } else { changing.hot[span] = now }
      }
      guard !spans.isEmpty else { return nil }
      for span in spans {
        isHot[span] = false
        changing.hot[span] = nil
      }
      let rows = spans.sorted().map { Row(span: $0, words: changed.words(ofSpan: $0), isHot: false) }
      do throws(BlockError) {
        try store(rows)
      } catch {
        // Whether it was stored is not known: who writes there makes the span hot again. It is tried again.
        for span in spans { changing.hot[span] = -1 }
        return error
      }
      for row in rows { known.formUnion(row.words, ofSpan: row.span) }
      return nil
    }
    if let failure { throw failure }
  }

  private func count(in span: Int) -> Int { changed.words(ofSpan: span).reduce(0) { $0 + $1.nonzeroBitCount } }
}

/// A flag for each span.
private final class HotSpans: @unchecked Sendable {
  // The flags are atomic, made before anybody sees the object and freed after its last user.
  private let flags: UnsafeMutablePointer<Atomic<Bool>>
  private let count: Int

  init(_ count: Int) {
    guard let flags = MappedMemory.zeros(of: Atomic<Bool>.self, count) else { fatalError("out of memory") }
    self.flags = flags
    self.count = count
  }

  deinit { MappedMemory.giveBack(flags, count) }

  subscript(span: Int) -> Bool {
    @inline(__always) get { flags[span].load(ordering: .sequentiallyConsistent) }
    set { flags[span].store(newValue, ordering: .sequentiallyConsistent) }
  }
}

/// A volume's layers, whose changes are noted before they are made.
final class TrackedDevice: BlockDevice {
  private let device: any BlockDevice
  private let tracker: ChangeTracker

  init(_ device: any BlockDevice, tracker: ChangeTracker) {
    self.device = device
    self.tracker = tracker
  }

  var size: Int64 { device.size }
  var isReadOnly: Bool { device.isReadOnly }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try device.read(into: buffer, at: offset)
  }

  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64, flags: WriteFlags) throws(BlockError) {
    try requireRange(offset, Int64(buffer.count), "a write")
    try tracker.admit(at: offset, count: Int64(buffer.count))
    try device.write(buffer, at: offset, flags: flags)
  }

  func flush() throws(BlockError) { try device.flush() }

  func trim(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    try requireRange(offset, count, "a trim")
    try tracker.admit(at: offset, count: count)
    try device.trim(at: offset, count: count, flags: flags)
  }

  func writeZeroes(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    try requireRange(offset, count, "a write of zeros")
    try tracker.admit(at: offset, count: count)
    try device.writeZeroes(at: offset, count: count, flags: flags)
  }

  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [Extent] {
    try device.extents(at: offset, count: count)
  }

  func close() { device.close() }
}
