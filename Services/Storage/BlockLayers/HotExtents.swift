import Glibc
import Primitives
import Synchronization

/// Which extents of a mirrored file are hot, in memory. What that means is told in `IntentRecord.swift`.
///
/// An extent is *cold*; *ahead*: hot because its neighbours are written, and not written itself; *touched*: hot, and written
/// since somebody last looked for idle ones; or *hot*: written before that.
final class HotExtents: @unchecked Sendable {
  // The states are atomic and freed after their last user; all else is touched only with `monitor` held.
  private enum State {
    static let cold: UInt8 = 0
    static let hot: UInt8 = 1
    static let touched: UInt8 = 2
    static let ahead: UInt8 = 3
  }

  /// Extents that are made hot at once in the middle of a burst: 128 MiB.
  private static let largestGroup = 32

  let monitor = Monitor()
  /// One for each extent there may be. Pages that nobody touched take no memory.
  private let states: UnsafeMutablePointer<Atomic<UInt8>>

  /// The newest record. Its extents are hot on disk, except while one that sets more of them is being written.
  var record: IntentRecord
  /// Whether each leg that has a record holds this one.
  var isDurable: Bool
  /// Hot extents in which the legs may differ already, so that they stay hot until they were compared.
  var unequal = ExtentSet()
  /// Whether all must be compared.
  var isAllUnequal = false
  /// Extents that writers wait for.
  var wanted = ExtentSet()
  /// Extents that are about to become cold: in memory they are, on disk they are hot still.
  var cooling = ExtentSet()
  /// Those of `cooling` in which nothing was written since they became hot.
  var unwritten = ExtentSet()
  var isCooling = false
  /// Records that made extents hot since somebody last looked for idle ones.
  var burst = 0
  /// Whether a record is being written.
  var isWriting = false
  var isClosed = false

  init(_ record: IntentRecord, isDurable: Bool) {
    self.record = record
    self.isDurable = isDurable
    guard let states = MappedMemory.zeros(of: Atomic<UInt8>.self, IntentRecord.extentLimit) else {
      fatalError("out of memory")
    }
    self.states = states
    if isDurable { showHot() }
  }

  deinit { MappedMemory.giveBack(states, IntentRecord.extentLimit) }

  // MARK: The way of every write

  /// Whether a range may be written: every extent of it is hot, and now touched. To be asked with the range locked.
  @inline(__always)
  func admits(_ offset: Int64, _ count: Int) -> Bool {
    let first = UInt64(bitPattern: offset) / UInt64(IntentRecord.extentBytes)
    let last = UInt64(bitPattern: offset &+ Int64(count) &- 1) / UInt64(IntentRecord.extentBytes)
    if first == last, first < UInt64(IntentRecord.extentLimit) { return touch(Int(first)) }
    return IntentRecord.extents(at: offset, count: Int64(count)).allSatisfy(touch)
  }

  /// Whether an extent is cold, as far as can be told without a lock: it may be about to become so, or all may be hot.
  @inline(__always)
  func seemsCold(_ extent: Int) -> Bool { states[extent].load(ordering: .relaxed) == State.cold }

  @inline(__always)
  private func touch(_ extent: Int) -> Bool {
    let state = states[extent].load(ordering: .acquiring)
    return state == State.touched || (state != State.cold && touchAgain(extent, state))
  }

  private func touchAgain(_ extent: Int, _ state: UInt8) -> Bool {
    let found = states[extent].compareExchange(
      expected: state, desired: State.touched, ordering: .acquiringAndReleasing)
    // Otherwise another writer was faster, or it has just become cold.
    return found.exchanged || found.original == State.touched
  }

  // MARK: Becoming hot; with `monitor` held

  /// Touches those of the extents that are hot on disk, also those about to become cold. Returns the others.
  func reclaim(_ extents: ClosedRange<Int>) -> ExtentSet {
    var missing = ExtentSet()
    for extent in extents {
      guard isDurable, record.isAllHot || record.hot.contains(extent) else {
        missing.insert(extent)
        continue
      }
      record.hot.insert(extent)
      cooling.remove(extent)
      wanted.remove(extent)
      states[extent].store(State.touched, ordering: .releasing)
    }
    return missing
  }

  /// Extents that are worth making hot with these: the more records a burst of writes has cost already, the more. They
  /// lie in aligned groups of 1, 1, 2, 4 and so on, so that writes all over a cold file wait for a disk a few times, and
  /// those here and there make no more hot than they change.
  func neighbours(of extents: ExtentSet, limit: Int) -> ExtentSet {
    let group = min(1 << max(burst - 1, 0), Self.largestGroup)
    if group < Self.largestGroup { burst += 1 }
    var neighbours = ExtentSet()
    guard group > 1, !record.isAllHot else { return neighbours }
    extents.forEach { extent in
      let start = extent - extent % group
      neighbours.insert(start...min(start + group - 1, IntentRecord.extentLimit - 1))
    }
    neighbours.subtract(extents)
    neighbours.subtract(record.hot)
    // For them nothing that was written need become cold.
    return record.hot.count + extents.count + neighbours.count > limit ? ExtentSet() : neighbours
  }

  /// All that is in the record is hot on disk, on each leg. Before that a writer must not take it to be: the leg whose record
  /// has it cold may be the only one that is left.
  func showHot() {
    record.hot.subtracting(cooling).forEach { _ = exchange($0, from: State.cold, to: State.hot) }
  }

  /// The extents are hot on disk, and nobody asked for them.
  func setAhead(_ extents: ExtentSet) {
    record.hot.formUnion(extents)
    extents.forEach { _ = exchange($0, from: State.cold, to: State.ahead) }
  }

  /// The extents are hot on disk.
  func setHot(_ extents: ExtentSet) {
    record.hot.formUnion(extents)
    // One may have become hot, and begun to cool, since it was wanted.
    cooling.subtract(extents)
    extents.forEach { states[$0].store(State.touched, ordering: .releasing) }
  }

  // MARK: Becoming cold; with `monitor` held

  /// Makes idle extents cold in memory: nobody begins to write to them after the next barrier. Those that were touched
  /// since the last time are spared, as far as `least` are found without them.
  func beginCooling(least: Int) {
    cooling = ExtentSet()
    unwritten = ExtentSet()
    guard !isAllUnequal else { return }
    let candidates = record.hot.subtracting(unequal).all
    for extent in candidates {
      if exchange(extent, from: State.ahead, to: State.cold) {
        unwritten.insert(extent)
      } else if !exchange(extent, from: State.hot, to: State.cold) {
        continue
      }
      cooling.insert(extent)
    }
    var lacking = least - cooling.count
    for extent in candidates where !cooling.contains(extent) {
      if lacking > 0 {
        states[extent].store(State.cold, ordering: .sequentiallyConsistent)
        cooling.insert(extent)
        lacking -= 1
      } else {
        _ = exchange(extent, from: State.touched, to: State.hot)
      }
    }
  }

  private func exchange(_ extent: Int, from old: UInt8, to new: UInt8) -> Bool {
    states[extent].compareExchange(expected: old, desired: new, ordering: .acquiringAndReleasing).exchanged
  }

  /// The extents that were to become cold stay hot.
  func endCooling() {
    cooling.forEach { states[$0].store(State.hot, ordering: .releasing) }
    cooling = ExtentSet()
  }

  /// Whether a clearing would change anything.
  var hasClearing: Bool { !cooling.isEmpty || (record.isAllHot && !isAllUnequal) }

  /// Takes what is cold out of the record, which is then to be written.
  func clear() {
    record.previous = record.identity
    record.identity = .random()
    record.mirroredBeforeClearing = record.mirrored
    record.hot.subtract(cooling)
    if !isAllUnequal { record.isAllHot = false }
    cooling = ExtentSet()
  }
}
