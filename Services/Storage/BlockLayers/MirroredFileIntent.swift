import Primitives

/// Keeping the write-intent records: an extent is hot on disk before the first change of it begins.
extension MirroredFile {
  /// Hot extents of one file beyond which the idlest become cold, so that what is compared after a crash is bounded:
  /// 16 GiB. One call that changes more has more; without a second leg they only grow.
  public static let hotLimit = 4_096
  /// Extents that become cold at once when there are too many, so that not every write has to wait for a sync.
  static let coolingBatch = 512

  /// Locks a range whose extents are hot.
  @inline(__always)
  func lockHot(at offset: Int64, count: Int) throws(BlockError) -> RangeLock.Held {
    var held = ranges.lock(at: offset, count: Int64(count))
    while !hot.admits(offset, count) {
      ranges.unlock(held)
      try heat(IntentRecord.extents(at: offset, count: Int64(count)))
      held = ranges.lock(at: offset, count: Int64(count))
    }
    return held
  }

  /// Locks everything while the extents of a range are hot.
  func lockAllHot(at offset: Int64, count: Int) throws(BlockError) -> RangeLock.Held {
    var held = ranges.lockAll()
    while !hot.admits(offset, count) {
      ranges.unlock(held)
      try heat(IntentRecord.extents(at: offset, count: Int64(count)))
      held = ranges.lockAll()
    }
    return held
  }

  /// Makes extents hot. To be called with no range locked. Calls that come together share one record.
  private func heat(_ extents: ClosedRange<Int>) throws(BlockError) {
    var mayCool = true
    hot.monitor.lock()
    defer { hot.monitor.unlock() }
    while true {
      let missing = hot.reclaim(extents)
      if missing.isEmpty { return }
      hot.wanted.formUnion(missing)
      if hot.isWriting {
        hot.monitor.wait()
      } else if mayCool, !hot.isCooling, hot.record.hot.count + hot.wanted.count > Self.hotLimit, areBothEqual {
        mayCool = false
        hot.monitor.unlock()
        defer { hot.monitor.lock() }
        try makeRoom()
      } else {
        try heatWanted()
      }
    }
  }

  /// Writes a record with all that is wanted, and its neighbours. Called and left with the monitor of `hot` held.
  private func heatWanted() throws(BlockError) {
    let wanted = hot.wanted
    hot.wanted = ExtentSet()
    // With one leg the record is what the other one misses, and would have it copied: that is kept exact.
    let ahead = areBothEqual ? hot.neighbours(of: wanted, limit: Self.hotLimit) : ExtentSet()
    var record = hot.record
    record.hot.formUnion(wanted)
    record.hot.formUnion(ahead)
    try write(&record)
    hot.setHot(wanted)
    hot.setAhead(ahead)
    if !hot.isDurable { hot.showHot() }
    hot.isDurable = true
  }

  /// Writes a record with the next counter on every leg that follows; what fails means for a leg what a failed write does.
  /// Called and left with the monitor of `hot` held, which is given up meanwhile.
  private func write(_ record: inout IntentRecord) throws(BlockError) {
    hot.isWriting = true
    hot.record.counter &+= 1
    record.counter = hot.record.counter
    let following = following
    if following.count == 2 {
      record.mirrored = record.counter
      hot.record.mirrored = record.counter
    }
    let written = record
    hot.monitor.unlock()
    defer {
      hot.monitor.lock()
      hot.isWriting = false
      hot.monitor.wakeAll()
    }
    try together { (leg) throws(BlockError) in
      guard following.contains(leg.id), let intent = leg.intent else { return }
      try intent.write(written)
    }
  }

  // MARK: Cooling

  /// Makes extents cold that were not written since the last call, where both legs are equal; to be called now and then.
  ///
  /// - Parameter least: so many become cold, idle or not, as far as there are.
  /// - Throws: the error of the last leg.
  public func coolDown(least: Int = 0) throws(BlockError) {
    hot.monitor.lock()
    defer { hot.monitor.unlock() }
    hot.burst = 0
    guard !hot.isCooling, !hot.isClosed else { return }
    try cool(least: least)
  }

  /// Makes the idlest extents cold in the middle of a burst.
  private func makeRoom() throws(BlockError) {
    hot.monitor.lock()
    defer { hot.monitor.unlock() }
    guard !hot.isCooling, !hot.isClosed else { return }
    try cool(least: Self.coolingBatch)
  }

  private func cool(least: Int) throws(BlockError) {
    guard hasRecords, areBothEqual else { return }
    hot.beginCooling(least: least)
    guard hot.hasClearing else { return }
    hot.isCooling = true
    defer {
      hot.endCooling()
      hot.isCooling = false
      hot.monitor.wakeAll()
    }
    try syncWritten()
    try voidSums()
    while hot.isWriting { hot.monitor.wait() }
    // Only what is on both legs now is equal on both.
    guard areBothEqual, hot.hasClearing else { return }
    hot.clear()
    var record = hot.record
    try write(&record)
  }

  /// Makes void what was known of the content of the extents that become cold. What was hot and never written still holds
  /// what it did.
  private func voidSums() throws(BlockError) {
    let extents = hot.record.isAllHot && !hot.isAllUnequal ? nil : hot.cooling.subtracting(hot.unwritten)
    hot.monitor.unlock()
    defer { hot.monitor.lock() }
    try together { (leg) throws(BlockError) in try leg.sums?.void(extents) }
    sums?.forget(extents)
  }

  /// Waits until every write that began while its extent was hot has ended, and syncs it.
  private func syncWritten() throws(BlockError) {
    hot.monitor.unlock()
    defer { hot.monitor.lock() }
    ranges.awaitHolders()
    try flush()
  }

  /// Ends the keeping of records, with all extents cold where that can be.
  func closeIntent() {
    hot.monitor.lock()
    defer { hot.monitor.unlock() }
    while hot.isCooling || hot.isWriting { hot.monitor.wait() }
    // What fails leaves the extents hot: they will be compared.
    do throws(BlockError) { try cool(least: .max) } catch {}
    hot.isClosed = true
  }

  // MARK: Legs that become equal

  /// Counts a joining leg as equal to the others, which it now is in all that is not hot, and gives it their record.
  func adopt(_ leg: LegID) throws(BlockError) {
    hot.monitor.lock()
    defer { hot.monitor.unlock() }
    while hot.isWriting { hot.monitor.wait() }
    guard setEqual(leg) else { throw BlockError(.io, "leg \(leg.rawValue) of \(name) is not joining any more") }
    hot.unequal = ExtentSet()
    hot.isAllUnequal = !hasRecords
    var record = hot.record
    try write(&record)
    hot.isDurable = true
    hot.showHot()
  }

  /// Notes that the legs are equal in all extents that may have differed.
  func setCompared(_ extents: ExtentSet?) {
    hot.monitor.locked {
      if let extents {
        hot.unequal.subtract(extents)
      } else {
        hot.unequal = ExtentSet()
        hot.isAllUnequal = !hasRecords
      }
    }
  }

  /// The extents in which the legs in step may differ; nil when it may be any.
  var unequalExtents: ExtentSet? { hot.monitor.locked { hot.isAllUnequal ? nil : hot.unequal } }

  /// Makes it durable that a leg that was lost may hold anything, whatever its record says.
  public func distrustLostLeg() throws(BlockError) {
    hot.monitor.lock()
    defer { hot.monitor.unlock() }
    while hot.isWriting { hot.monitor.wait() }
    hot.record.isAllHot = true
    hot.isAllUnequal = true
    var record = hot.record
    try write(&record)
    hot.isDurable = true
    hot.showHot()
  }

  /// What the records on the legs say when a file is opened.
  static func hotExtents(of legs: [Leg], isNew: Bool) -> HotExtents {
    if isNew { return HotExtents(IntentRecord(identity: .random()), isDurable: false) }
    let records = legs.map { $0.intent?.read() }
    guard let one = records.first, records.count <= 2 else { return nothingKnown(counter: 0) }
    guard records.count == 2, let two = records.last else {
      return one.map { HotExtents($0, isDurable: true) } ?? nothingKnown(counter: 0)
    }
    guard let one, let two, let difference = IntentRecord.difference(one, two) else {
      return nothingKnown(counter: max(one?.counter ?? 0, two?.counter ?? 0))
    }
    var record = one.previous == two.identity ? one : two.previous == one.identity ? two : one
    record.counter = max(one.counter, two.counter)
    record.hot = difference
    let hot = HotExtents(record, isDurable: one.identity == two.identity && one.hot == two.hot)
    hot.unequal = difference
    return hot
  }

  private static func nothingKnown(counter: UInt64) -> HotExtents {
    let hot = HotExtents(IntentRecord(counter: counter, identity: .random(), isAllHot: true), isDurable: false)
    hot.isAllUnequal = true
    return hot
  }

  /// Writes the first record of a new file.
  func beginIntent() throws(BlockError) {
    hot.monitor.lock()
    defer { hot.monitor.unlock() }
    var record = hot.record
    try write(&record)
    hot.isDurable = true
    hot.showHot()
  }
}
