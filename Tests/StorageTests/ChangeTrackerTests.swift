import BlockLayers
import Foundation
import Primitives
import Synchronization
import Testing

@testable import StorageCore

@Suite(.timeLimit(.minutes(1))) struct ChangeTrackerTests {
  private static let size: Int64 = 200 << 20

  @Test func `runs are as long as what is alike`() {
    let map = ChangeMap(sizeBytes: (1 << 30) + 512)
    map.insert(contentsOf: (1 << 20)..<(1 << 20) + 1)
    map.insert(contentsOf: (512 << 20)..<(768 << 20))
    map.insert(contentsOf: (1 << 30)..<(1 << 40))
    var runs: [(Int64, Bool)] = []
    var offset: Int64 = 0
    while offset < map.sizeBytes {
      let (count, changed) = map.run(at: offset)
      runs.append((count, changed))
      offset += count
    }
    let expected: [(Int64, Bool)] = [
      (1 << 20, false), (64 << 10, true), ((511 << 20) - (64 << 10), false), (256 << 20, true), (256 << 20, false),
      (512, true),
    ]
    #expect(runs.map(\.0) == expected.map(\.0))
    #expect(runs.map(\.1) == expected.map(\.1))
    #expect(map.changedBytes == (64 << 10) + (256 << 20) + 512)
    #expect(map.run(at: (1 << 20) + 4096).count == (64 << 10) - 4096)
  }

  @Test func `a granule is in the state before it is written, and what is saved is exact`() throws {
    let state = SpanRows()
    let tracker = state.tracker(sizeBytes: Self.size)
    try tracker.admit(at: 5 << 20, count: 4096)
    #expect(state.covers(5 << 20))
    #expect(state.heats == 1)
    // Neighbours are expected to change, too.
    try tracker.admit(at: 40 << 20, count: 4096)
    #expect(state.heats == 1)
    try tracker.save(all: true)
    let exact = state.map(sizeBytes: Self.size)
    #expect(exact.changedBytes == 2 * ChangeMap.granuleBytes)
    #expect(!state.rows.withLock { $0.values.contains(where: \.isHot) })
    // What is known is written without asking anybody.
    try tracker.admit(at: (5 << 20) + 8192, count: 4096)
    #expect(state.heats == 1)
    try tracker.admit(at: 6 << 20, count: 4096)
    #expect(state.heats == 2)
  }

  @Test func `what goes on changing stays hot, and what does not is saved`() throws {
    let state = SpanRows()
    let tracker = state.tracker(sizeBytes: Self.size)
    try tracker.admit(at: 0, count: 512)
    try tracker.save(all: false)
    #expect(state.hotSpans.contains(0))
    try tracker.admit(at: 1 << 20, count: 512)
    try tracker.save(all: false)
    #expect(state.hotSpans == [0])
    try tracker.save(all: false)
    #expect(state.hotSpans.isEmpty)
  }

  @Test func `a write waits in vain where the state cannot change`() throws {
    let state = SpanRows()
    let tracker = state.tracker(sizeBytes: Self.size)
    state.isFull.store(true, ordering: .relaxed)
    #expect(throws: BlockError.self) { try tracker.admit(at: 0, count: 512) }
    state.isFull.store(false, ordering: .relaxed)
    try tracker.admit(at: 0, count: 512)
    #expect(state.covers(0))
    // What could not be saved still counts.
    state.isFull.store(true, ordering: .relaxed)
    #expect(throws: BlockError.self) { try tracker.save(all: true) }
    #expect(state.covers(0))
    state.isFull.store(false, ordering: .relaxed)
    // Somebody who goes on writing makes sure of it.
    try tracker.admit(at: 0, count: 512)
    #expect(state.covers(0))
  }

  @Test func `whoever writes beside somebody who saves is never forgotten`() throws {
    let state = SpanRows()
    let tracker = state.tracker(sizeBytes: Self.size)
    let problems = Mutex<[String]>([])
    let threads = (0..<4).map { writer in
      Thread {
        var random = SeededGenerator(seed: UInt64(writer) + 1)
        for _ in 0..<20_000 {
          let offset = Int64.random(in: 0..<(Self.size / 512), using: &random) * 512
          do throws(BlockError) { try tracker.admit(at: offset, count: 512) } catch {
            problems.withLock { $0.append("\(error)") }
          }
          if !state.covers(offset) { problems.withLock { $0.append("\(offset) is not in the state") } }
        }
      }
    }
    let done = Threads(threads)
    var saves = 0
    while !done.areFinished {
      try tracker.save(all: saves.isMultiple(of: 3))
      saves += 1
    }
    #expect(problems.withLock { $0.prefix(3) } == [])
    #expect(saves > 3)
    try tracker.save(all: true)
    #expect(state.hotSpans.isEmpty)
  }

  @Test func `after a crash never less counts than was written, and no more than was hot`() throws {
    var random = SeededGenerator(seed: SnapshotRandomWalkTests.seed)
    for _ in 0..<50 {
      let state = SpanRows()
      var written: Set<Int64> = []
      for _ in 0..<4 {
        let tracker = state.tracker(sizeBytes: Self.size)
        for _ in 0..<Int.random(in: 0..<40, using: &random) {
          let offset = Int64.random(in: 0..<(Self.size - (1 << 20)), using: &random)
          let count = Int64.random(in: 1...(1 << 20), using: &random)
          try tracker.admit(at: offset, count: count)
          for granule in (offset / ChangeMap.granuleBytes)...((offset + count - 1) / ChangeMap.granuleBytes) {
            written.insert(granule)
          }
          if Int.random(in: 0..<8, using: &random) == 0 { try tracker.save(all: Bool.random(using: &random)) }
        }
      }
      let map = state.map(sizeBytes: Self.size)
      #expect(written.allSatisfy { map.has(Int($0)) })
      let fresh = state.tracker(sizeBytes: Self.size)
      try fresh.save(all: true)
      #expect(state.map(sizeBytes: Self.size).changedBytes == map.changedBytes)
    }
  }
}

/// The rows of a state that is in memory.
private final class SpanRows: Sendable {
  let rows = Mutex<[Int: ChangeTracker.Row]>([:])
  let isFull = Atomic(false)
  private let heated = Atomic(0)

  var heats: Int { heated.load(ordering: .relaxed) }
  var hotSpans: [Int] { rows.withLock { $0.values.filter(\.isHot).map(\.span).sorted() } }

  func tracker(sizeBytes: Int64) -> ChangeTracker {
    ChangeTracker(checkpoint: 1, sizeBytes: sizeBytes, rows: rows.withLock { Array($0.values) }) {
      spans throws(BlockError) in
      try self.requireSpace()
      self.heated.add(1, ordering: .relaxed)
      self.rows.withLock { rows in
        for span in spans { rows[span, default: .init(span: span, words: [], isHot: true)].isHot = true }
      }
    } store: { rows throws(BlockError) in
      try self.requireSpace()
      self.rows.withLock { all in for row in rows { all[row.span] = row } }
    }
  }

  /// Whether the state says that the granule of an offset changed.
  func covers(_ offset: Int64) -> Bool {
    let granule = Int(offset / ChangeMap.granuleBytes)
    return rows.withLock { rows in
      guard let row = rows[granule / 256] else { return false }
      let word = granule % 256 / 64
      return row.isHot || (word < row.words.count && row.words[word] & (1 << UInt64(granule % 64)) != 0)
    }
  }

  func map(sizeBytes: Int64) -> ChangeMap {
    let map = ChangeMap(sizeBytes: sizeBytes)
    for row in rows.withLock({ Array($0.values) }) {
      map.formUnion(row.counted, ofSpan: row.span)
    }
    return map
  }

  private func requireSpace() throws(BlockError) {
    if isFull.load(ordering: .relaxed) { throw BlockError(.noSpace, "the legs are full") }
  }
}

/// Threads that were begun together.
private struct Threads {
  private let threads: [Thread]

  init(_ threads: [Thread]) {
    self.threads = threads
    for thread in threads { thread.start() }
  }

  var areFinished: Bool { threads.allSatisfy(\.isFinished) }
}
