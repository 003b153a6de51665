import Synchronization

/// The write-intent record of one layer on one leg. Its format is told in `IntentRecord.swift`.
public final class IntentFile: Sendable {
  /// What is read first of a slot: enough for the extents of 120 GiB.
  private static let usualBytes = 4096

  private let file: any ByteFile
  /// The slot that the next record goes to.
  private let next = Atomic<Int>(0)
  /// Whether what the file holds cannot be trusted, so that none of it may be left beside the next record.
  private let isUntrusted = Atomic<Bool>(false)

  /// The record in this file, which may be empty.
  public init(_ file: any ByteFile) { self.file = file }

  /// The newest record; nil when there is none, or it cannot be read or trusted: then nothing is known.
  func read() -> IntentRecord? {
    let record = newest()
    isUntrusted.store(record == nil, ordering: .relaxed)
    return record
  }

  private func newest() -> IntentRecord? {
    var newest: IntentRecord?
    for slot in 0..<2 {
      switch read(slot: slot) {
      case .valid(let record) where record.counter >= newest?.counter ?? 0:
        newest = record
        next.store(1 - slot, ordering: .relaxed)
      case .valid, .torn: break
      case .damaged, nil: return nil
      }
    }
    return newest
  }

  private func read(slot: Int) -> IntentRecord.Slot? {
    let start = Int64(slot) * IntentRecord.slotBytes
    do throws(BlockError) {
      let count = Int(min(max(try file.size() - start, 0), IntentRecord.slotBytes))
      guard count > 0 else { return .torn }
      // Most records are short.
      let few = min(count, Self.usualBytes)
      if let slot = try decode(at: start, few, isWhole: few == count) { return slot }
      return try decode(at: start, count, isWhole: true)
    } catch {
      return nil
    }
  }

  /// What some bytes from a slot's beginning on mean; nil when its record goes on behind them.
  private func decode(at start: Int64, _ count: Int, isWhole: Bool) throws(BlockError) -> IntentRecord.Slot? {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 512)
    defer { bytes.deallocate() }
    try file.read(into: bytes, at: start)
    let slot = UnsafeRawBufferPointer(bytes)
    return isWhole || IntentRecord.length(of: slot) <= count ? IntentRecord.decode(slot) : nil
  }

  /// Writes a record durably. One that fails leaves the newest one as it was.
  func write(_ record: IntentRecord) throws(BlockError) {
    if isUntrusted.load(ordering: .relaxed) {
      try file.truncate(to: 0)
      try file.flush()
    }
    let slot = next.load(ordering: .relaxed)
    let bytes = record.encoded()
    let failure = bytes.withUnsafeBytes { bytes -> BlockError? in
      do throws(BlockError) { try file.write(bytes, at: Int64(slot) * IntentRecord.slotBytes) } catch { return error }
      return nil
    }
    if let failure { throw failure }
    try file.flush()
    next.store(1 - slot, ordering: .relaxed)
    isUntrusted.store(false, ordering: .relaxed)
  }

  /// Ends the use.
  public func close() { file.close() }
}
