import Primitives

/// Which legs belong to a mirrored file, and as what.
extension MirroredFile {
  /// A leg that belongs to the file.
  struct Member {
    let leg: Leg
    var isInStep: Bool
    /// Whether it holds what the others hold, in all that is not hot. Legs in step do.
    var isEqual: Bool
  }

  /// What a leg is to this file now.
  public func state(of leg: LegID) -> LegState {
    monitor.locked { legs[leg].map { $0.isInStep ? .inStep : .joining } ?? .absent }
  }

  /// Takes a leg out without asking anybody: its loss is durable already. False when it is the last one in step.
  @discardableResult
  public func drop(_ leg: LegID) -> Bool {
    monitor.locked {
      guard legs[leg.other]?.isInStep == true else { return false }
      legs[leg] = nil
      return true
    }
  }

  /// Adds a leg that does not hold the content yet: it gets the file's length and every write from now on. What of its
  /// old content is still good is known from the records of both legs; the rest is worthless until it was copied.
  ///
  /// - Parameter isNew: whether neither leg holds anything yet.
  public func attach(_ leg: Leg, isNew: Bool = false) throws(BlockError) {
    let missing = try add(leg, isNew ? nil : leg.intent?.read(), isNew: isNew)
    if missing?.isEmpty == true { return try adopt(leg.id) }
    do throws(BlockError) {
      // What is copied now becomes other than what the leg's checksums are of.
      try leg.gated { (leg) throws(BlockError) in try leg.sums?.void(missing) }
    } catch {
      drop(leg.id)
      throw error
    }
  }

  private func add(_ leg: Leg, _ record: IntentRecord?, isNew: Bool) throws(BlockError) -> ExtentSet? {
    let held = ranges.lockAll()
    defer { ranges.unlock(held) }
    let length = try size()
    try leg.gated { (leg) throws(BlockError) in try leg.file.truncate(to: length) }
    let missing = isNew ? ExtentSet() : difference(from: record)
    try monitor.locked { () throws(BlockError) in
      guard legs[leg.id] == nil else { throw BlockError(.misuse, "\(name) has leg \(leg.id.rawValue) already") }
      legs[leg.id] = Member(leg: leg, isInStep: false, isEqual: false)
      self.missing = missing
    }
    return missing
  }

  /// The extents in which a leg with this record may differ from ours; nil when it may be any.
  private func difference(from record: IntentRecord?) -> ExtentSet? {
    hot.monitor.locked {
      // Every record that is written from now on is newer than what either leg has.
      hot.record.counter = max(hot.record.counter, record?.counter ?? 0)
      return IntentRecord.difference(hot.record, record)
    }
  }

  /// Counts a leg that was attached, copied and flushed as in step. False when it was lost meanwhile, or not copied.
  public func setInStep(_ leg: LegID) -> Bool {
    monitor.locked {
      guard legs[leg]?.isEqual == true else { return false }
      legs[leg]?.isInStep = true
      return true
    }
  }

  /// False when the leg is no member.
  func setEqual(_ leg: LegID) -> Bool {
    monitor.locked {
      guard legs[leg] != nil else { return false }
      legs[leg]?.isEqual = true
      missing = ExtentSet()
      return true
    }
  }

  /// The extents that are to be copied to a joining leg; nil when it is all.
  func missing(on leg: LegID) -> ExtentSet? { monitor.locked { legs[leg]?.isEqual == false ? missing : ExtentSet() } }

  /// Whether there are two legs that hold the same in all that is not hot.
  var areBothEqual: Bool { monitor.locked { legs[.io0]?.isEqual == true && legs[.io1]?.isEqual == true } }

  /// The legs whose records are kept: what a joining leg's says stays as it is until it was copied.
  var following: Set<LegID> { monitor.locked { Set(LegID.allCases.filter { legs[$0]?.isEqual == true }) } }

  /// Whether any leg has a record.
  var hasRecords: Bool { monitor.locked { legs.all.contains { $0.intent != nil } } }
}
