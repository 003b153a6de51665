import Testing

@testable import BlockLayers

@Suite struct IntentRecordTests {
  private func record(hot extents: [Int], counter: UInt64 = 0) -> IntentRecord {
    var record = IntentRecord(counter: counter, identity: .random())
    for extent in extents { record.hot.insert(extent) }
    return record
  }

  @Test(arguments: [[], [0], [63, 64], [3967, 3968, 9000], [IntentRecord.extentLimit - 1]])
  func `a record is read as it was written`(_ extents: [Int]) throws {
    let file = PowerCutFile()
    var record = record(hot: extents)
    record.previous = .random()
    (record.counter, record.mirrored, record.mirroredBeforeClearing, record.isAllHot) = (5, 4, 3, true)
    try IntentFile(file).write(record)
    let isSame = IntentFile(file).read() == record
    #expect(isSame)
    #expect(record.hot.all == extents)
  }

  @Test func `a power cut leaves the record that was synced or the one that was being written`() throws {
    var generator = SeededGenerator(seed: 11)
    for _ in 0..<20 {
      let file = PowerCutFile()
      let intent = IntentFile(file)
      var synced: [(moment: Int, record: IntentRecord)] = []
      for counter in 1...6 {
        let extents = (0..<Int.random(in: 0...9, using: &generator)).map { _ in
          Int.random(in: 0..<9_000, using: &generator)
        }
        let written = record(hot: extents, counter: UInt64(counter))
        try intent.write(written)
        synced.append((file.now, written))
      }
      let moment = Int.random(in: 0...file.now, using: &generator)
      let found = IntentFile(PowerCutFile(file.state(at: moment, using: &generator))).read()
      let last = synced.last { $0.moment <= moment }?.record
      let next = synced.first { $0.moment > moment }?.record
      #expect(found == last || (found != nil && found == next))
    }
  }

  @Test func `a record with a flipped bit anywhere is no record`() throws {
    var generator = SeededGenerator(seed: 12)
    let file = PowerCutFile()
    let written = record(hot: [1, 5000], counter: 1)
    try IntentFile(file).write(written)
    for _ in 0..<300 {
      var bytes = file.bytes
      bytes[Int.random(in: bytes.indices, using: &generator)] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      #expect(IntentFile(PowerCutFile(bytes)).read() == nil)
    }
  }

  @Test func `an empty file, a foreign one and a short one are no record`() throws {
    var generator = SeededGenerator(seed: 13)
    #expect(IntentFile(PowerCutFile()).read() == nil)
    #expect(IntentFile(PowerCutFile([UInt8](repeating: 0, count: 300_000))).read() == nil)
    let noise = (0..<300_000).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    #expect(IntentFile(PowerCutFile(noise)).read() == nil)
    let file = PowerCutFile()
    try IntentFile(file).write(record(hot: [4000], counter: 1))
    #expect(IntentFile(PowerCutFile(Array(file.bytes.prefix(512)))).read() == nil)
  }

  @Test func `the extents in which legs differ are those that either record names`() {
    let one = record(hot: [1])
    var two = one
    two.hot.insert(7)
    #expect(IntentRecord.difference(one, two)?.all == [1, 7])
    #expect(IntentRecord.difference(one, nil) == nil)
    #expect(IntentRecord.difference(one, record(hot: [1])) == nil)
    two.isAllHot = true
    #expect(IntentRecord.difference(one, two) == nil)
  }

  @Test func `a leg that missed the last clearing is told from one that is older`() {
    var old = record(hot: [1, 2])
    old.mirrored = 9
    var cleared = old
    (cleared.previous, cleared.identity) = (old.identity, .random())
    (cleared.mirroredBeforeClearing, cleared.mirrored) = (9, 10)
    cleared.hot.remove(1)
    #expect(IntentRecord.difference(cleared, old)?.all == [1, 2])
    #expect(IntentRecord.difference(old, cleared)?.all == [1, 2])
    var older = old
    older.mirrored = 8
    #expect(IntentRecord.difference(cleared, older) == nil)
    var again = cleared
    (again.previous, again.identity) = (cleared.identity, .random())
    #expect(IntentRecord.difference(again, old) == nil)
  }

  @Test func `what lies behind the last extent counts as that`() {
    #expect(IntentRecord.extents(at: 0, count: 1) == 0...0)
    #expect(IntentRecord.extents(at: (4 << 20) - 1, count: 2) == 0...1)
    #expect(IntentRecord.extents(at: -1, count: 0) == 0...0)
    let last = IntentRecord.extentLimit - 1
    #expect(IntentRecord.extents(at: 1 << 56, count: 1 << 56) == last...last)
    #expect(IntentRecord.extents(at: 5 << 40, count: 1) == last...last)
    #expect(IntentRecord.bytes(of: last, in: 5 << 40) == (4 << 40) - (4 << 20)..<5 << 40)
    #expect(IntentRecord.bytes(of: 1, in: 5 << 20) == 4 << 20..<5 << 20)
    #expect(IntentRecord.bytes(of: 2, in: 5 << 20).isEmpty)
  }
}
