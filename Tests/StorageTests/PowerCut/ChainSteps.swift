import Primitives

@testable import BlockLayers

/// The operations that a walk chooses from.
extension ChainWalk {
  func step() throws {
    switch Int.random(in: 0..<41, using: &generator) {
    case 0..<16: try write()
    case 16, 17: try zero()
    case 18..<22:
      doing = "flushing"
      try host.top().flush()
      host.note { $0.flush() }
    case 22: try cool()
    case 23, 24: try reopen()
    case 25, 26: try snapshot()
    case 27, 28: try beginUndo()
    case 29, 30: try endUndo()
    case 31, 32: try forget()
    case 33: try grow()
    case 34: try losing()
    case 35, 36: try rejoin()
    case 37: try compare()
    case 38: try revert()
    default: try scrub()
    }
  }

  private func range() -> Range<Int> {
    let sectors = host.record.sectors
    let first = Int.random(in: 0..<sectors, using: &generator)
    let wanted = first..<min(first + Int.random(in: 1...20, using: &generator), sectors)
    return layout.pieces(wanted).first ?? wanted
  }

  private func write() throws {
    let (sectors, isForced) = (range(), Int.random(in: 0..<8, using: &generator) == 0)
    doing = "writing sectors \(sectors)\(isForced ? " durably" : "")"
    let top = try host.top()
    numbers += 1
    let number = numbers &* 0x0101_0101_0101_0101 | 1
    host.note { $0.write(sectors, number) }
    try withUnsafeTemporaryAllocation(of: UInt64.self, capacity: sectors.count * 64) { buffer in
      buffer.initialize(repeating: number)
      try top.write(
        UnsafeRawBufferPointer(buffer), at: layout.offset(of: sectors.lowerBound),
        flags: isForced ? .forceUnitAccess : [])
    }
    if isForced { host.note { $0.flush(sectors) } }
  }

  private func zero() throws {
    let (sectors, isTrim) = (range(), Bool.random(using: &generator))
    doing = "\(isTrim ? "trimming" : "zeroing") sectors \(sectors)"
    let (offset, bytes) = (layout.offset(of: sectors.lowerBound), Int64(sectors.count * 512))
    let top = try host.top()
    host.note { $0.write(sectors, 0) }
    if isTrim {
      try top.trim(at: offset, count: bytes)
    } else {
      try top.writeZeroes(at: offset, count: bytes, flags: Bool.random(using: &generator) ? .keepAllocated : [])
    }
  }

  private func cool() throws {
    doing = "letting extents cool down"
    for (_, open) in host.openFiles.sorted(by: { $0.key < $1.key }) { try open.file.coolDown() }
  }

  private func reopen() throws {
    doing = "closing"
    try host.closeStack()
  }

  private func requireNoJob() throws {
    if host.record.commit != nil || host.record.merge != nil { try host.finishJobs() }
  }

  private func snapshot() throws {
    guard !host.record.hasUndo, host.record.layers.count < 5 else { return }
    doing = "making a snapshot"
    try host.putOnTop(.differencing, isSnapshot: true)
  }

  private func beginUndo() throws {
    guard !host.record.hasUndo, host.record.layers.count < 6 else { return }
    doing = "putting on an undo layer"
    try host.closeStack()
    try host.putOnTop(.undo)
  }

  private func endUndo() throws {
    guard host.record.hasUndo else { return }
    doing = "ending the jobs"
    try requireNoJob()
    guard host.record.hasUndo else { return }
    if Int.random(in: 0..<4, using: &generator) == 0 {
      doing = "discarding"
      try host.discardUndo()
    } else {
      doing = "committing"
      try host.commitUndo()
    }
  }

  private func forget() throws {
    doing = "ending the jobs"
    try requireNoJob()
    guard let one = host.record.snapshots.randomElement(using: &generator) else { return }
    doing = "merging"
    try host.forget([one])
  }

  private func revert() throws {
    doing = "ending the jobs"
    try requireNoJob()
    doing = "reverting"
    try host.revert()
  }

  private func grow() throws {
    guard !host.record.hasUndo, host.record.sectors < 192 else { return }
    doing = "growing"
    try host.grow(by: Int.random(in: 1...40, using: &generator))
  }

  private func losing() throws {
    let record = host.record
    guard record.inStep.count == 2, host.disks.failed.isEmpty else { return }
    let leg: LegID = record.legsDiffer || Bool.random(using: &generator) ? .io1 : .io0
    doing = "losing leg \(leg.rawValue)"
    var choice = CutChoice.random(of: host.disks.pending, using: &generator)
    host.disks.fail(leg, &choice)
  }

  private func rejoin() throws {
    guard host.record.inStep.count == 1 else { return }
    doing = "bringing a leg into step"
    try host.rejoin { () throws(BlockError) in
      do { try self.write() } catch let error as BlockError { throw error } catch { throw BlockError(.io, "\(error)") }
    }
  }

  func compare() throws {
    doing = "comparing the legs"
    do {
      try host.compareLegs()
    } catch {
      // It ends when a leg is lost under it; the volume goes on.
      guard !host.disks.isOff, !host.disks.failed.isEmpty else { throw error }
    }
  }

  /// Has checksums made, lets a bit of one leg change, and has it found: by a scrub, or by a read where that leg is read.
  private func scrub() throws {
    guard host.disks.failed.isEmpty, host.record.inStep.count == 2 else { return }
    doing = "scrubbing"
    if Bool.random(using: &generator) { try host.closeStack() }
    guard try host.scrub().isClean else { throw Violation(description: "damage where there is none") }
    try requireNoJob()
    try compare()
    try host.closeStack()
    // A merge that ended while nobody had the volume open leaves its mark to this.
    try host.finishJobs()
    guard !host.record.openForWriting, !host.record.legsDiffer else {
      throw Violation(description: "a mark on a volume that is closed and was compared")
    }
    guard try host.scrub().isClean else { throw Violation(description: "damage where there is none") }
    // What disks do by themselves after a while. Before that the checksums may be lost, and then nobody knows who is right.
    host.disks.writeBack()
    guard let layer = host.record.layers.randomElement(using: &generator)?.id,
      let leg = LegID.allCases.randomElement(using: &generator), host.spoil(layer, on: leg, using: &generator)
    else { return }
    doing = "repairing layer \(layer) on leg \(leg.rawValue)"
    let report = try host.scrub()
    guard report.repairedBlocks == [leg: 1], report.undecidedBlocks == 0, report.lostBlocks == 0 else {
      throw Violation(description: "\(report)")
    }
    host.isSpoiled = false
    // The next change of that extent makes the checksums void: the repair must be there to stay.
    try write()
    try host.top().flush()
    host.note { $0.flush() }
  }
}
