@testable import BlockLayers
import FuzzSupport

/// Write-intent records as they lie on a leg: two slots, each the half of an input. The first byte's lowest bit has the sectors' sums
/// set right, else a wrong one hides what is behind it; the next one has the slots read and written as a file, which takes longer.
@main enum IntentRecordFuzzer: Fuzzer {
  private static let zeros = [UInt8](repeating: 0, count: Int(IntentRecord.slotBytes))

  static func seeds() -> [[UInt8]] {
    var record = IntentRecord(identity: IntentRecord.Identity(high: 1, low: 2))
    record.counter = 3
    var hot = record
    hot.hot.insert(7...9)
    hot.counter = 4
    var large = hot
    large.hot.insert(9_000)
    var unknown = record
    unknown.isAllHot = true
    let pairs = [(record, hot), (hot, hot), (large, record), (unknown, large)]
    return pairs.map { one, other in
      let (first, second) = (one.encoded(), other.encoded())
      let length = max(first.count, second.count)
      return [3] + padded(first, length) + padded(second, length)
    }
  }

  private static func padded(_ bytes: [UInt8], _ count: Int) -> [UInt8] {
    bytes + [UInt8](repeating: 0, count: count - bytes.count)
  }

  static func test(_ input: [UInt8]) throws {
    guard let first = input.first else { return }
    let half = (input.count - 1) / 2
    var slots = [Array(input[1..<1 + half]), Array(input[(1 + half)...])]
    if first & 1 == 1 { for index in slots.indices { fixSums(&slots[index]) } }
    for slot in slots { decode(slot) }
    if first & 2 == 2 { try write(slots, extent: Int64(first)) }
  }

  private static func write(_ slots: [[UInt8]], extent: Int64) throws {
    let gap = zeros.dropFirst(slots[0].count)
    let bytes = slots[0].prefix(Int(IntentRecord.slotBytes)) + gap + slots[1].prefix(Int(IntentRecord.slotBytes))
    let file = IntentFile(MemoryFile(Array(bytes)))
    var record = file.read() ?? IntentRecord(identity: .none)
    record.counter &+= 1
    // The newest counter is as good as none: a record that was written is one behind it.
    guard record.counter > 0 else { return }
    record.hot.insert(IntentRecord.extents(at: extent << 22, count: 1))
    try file.write(record)
    require(file.read() == record, "a record that was written is the newest one")
  }

  private static func decode(_ slot: [UInt8]) {
    guard case .valid(let record) = slot.withUnsafeBytes(IntentRecord.decode) else { return }
    let again = record.encoded().withUnsafeBytes(IntentRecord.decode)
    require(again == .valid(record), "a record that was written is read as the same")
    let difference = record.isAllHot || record.identity == .none ? nil : record.hot
    require(IntentRecord.difference(record, record) == difference, "what is hot in a record may differ")
  }

  private static func fixSums(_ slot: inout [UInt8]) {
    for sector in 0..<slot.count / 512 {
      let start = sector * 512
      let sum = slot.withUnsafeBytes { CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[start..<start + 508])) }
      slot.replaceSubrange(start + 508..<start + 512, with: big(sum.byteSwapped))
    }
  }
}
