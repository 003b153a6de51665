import BlockLayers
import Glibc
import Synchronization
import Testing

@Suite struct LayerTests {
  let directory = TemporaryDirectory()

  @Test func `the checking layer refuses and counts every breach`() throws {
    let checked = CheckingDevice(MemoryDevice(size: 4096))
    #expect(throws: BlockError.self) { try checked.bytes(at: 4096, count: 1) }
    #expect(throws: BlockError.self) { try checked.bytes(at: -1, count: 1) }
    #expect(throws: BlockError.self) { try checked.write([], at: 0) }
    #expect(throws: BlockError.self) { try checked.trim(at: 0, count: .max) }
    #expect(throws: BlockError.self) { try checked.trim(at: 0, count: 1, flags: .onlyIfFast) }
    try checked.write([1], at: 4095)
    checked.close()
    #expect(throws: BlockError.self) { try checked.flush() }
    #expect(checked.breaches == 6)
  }

  @Test func `the memory device holds what was written`() throws {
    let device = MemoryDevice(size: 1024)
    try device.write([1, 2, 3], at: 1021)
    try device.writeZeroes(at: 1022, count: 1)
    #expect(try device.bytes(at: 1020, count: 4) == [0, 1, 0, 3])
    #expect(throws: BlockError.self) { try device.write([1], at: 1024) }
  }

  @Test func `faults happen as planned`() throws {
    let plan = FaultPlan()
    let memory = MemoryDevice(size: 1024)
    let device = FaultDevice(memory, plan)
    plan.add(.init(.write, .short, skip: 1, times: 1))
    try device.write([1, 1], at: 0)
    #expect(throws: BlockError.self) { try device.write([2, 2], at: 0) }
    #expect(memory.content[0...1] == [2, 1])
    try device.write([3, 3], at: 0)
    plan.add(.init(.any, .error(ENOSPC)))
    let error = #expect(throws: BlockError.self) { try device.flush() }
    #expect(error?.kind == .noSpace)
    plan.clear()
    try device.flush()
  }

  @Test func `a file of the system reads, grows, punches and knows its data`() throws {
    let file = try PosixFile(path: directory.path("a"), mode: .create)
    try file.write([1, 2, 3], at: 1 << 20)
    #expect(try file.size() == (1 << 20) + 3)
    #expect(try file.bytes(at: 10, count: 3) == [0, 0, 0])
    let data = try #require(try file.nextData(at: 0))
    #expect(data.contains(1 << 20))
    try file.punch(at: (1 << 20) + 1, count: 1)
    #expect(try file.bytes(at: 1 << 20, count: 3) == [1, 0, 3])
    try file.allocate(at: 0, count: 2 << 20)
    #expect(try file.size() == 2 << 20)
    let error = #expect(throws: BlockError.self) { try file.bytes(at: 2 << 20, count: 1) }
    #expect(error?.kind == .outOfRange)
    #expect(throws: BlockError.self) { try PosixFile(path: directory.path("a"), mode: .create) }
    #expect(throws: BlockError.self) { try PosixFile(path: directory.path("b"), mode: .read) }
  }

  @Test func `a closed file never reaches a file opened later`() throws {
    let file = try PosixFile(path: directory.path("a"), mode: .create)
    file.close()
    let other = try PosixFile(path: directory.path("b"), mode: .create)
    let error = #expect(throws: BlockError.self) { try file.write([1], at: 0) }
    #expect(error?.kind == .closed)
    #expect(try other.size() == 0)
  }

  @Test func `a copy leaves out zeros and can be cancelled`() throws {
    let source = MemoryDevice(size: 3 << 20)
    try source.write([UInt8](repeating: 9, count: 100_000), at: 1 << 20)
    let target = MemoryDevice([UInt8](repeating: 5, count: 3 << 20))
    #expect(try BlockCopy.copy(from: source, to: target))
    #expect(target.content == source.content)
    #expect(try !BlockCopy.copy(from: source, to: target) { _, _ in false })
  }

  @Test func `ranges that overlap exclude each other and never deadlock`() {
    let lock = RangeLock()
    let bytes = Counters()
    let threads = ThreadGroup()
    for thread in 0..<4 {
      threads.start {
        var generator = SeededGenerator(seed: UInt64(thread))
        for _ in 0..<2000 {
          let at = Int64.random(in: 0..<8, using: &generator) << 16
          let count = Int64.random(in: 1...6, using: &generator) << 16
          let held = Int.random(in: 0..<50, using: &generator) == 0 ? lock.lockAll() : lock.lock(at: at, count: count)
          bytes.increment(Int(at >> 16)..<Int((at + count) >> 16))
          lock.unlock(held)
        }
      }
    }
    threads.join()
    #expect(bytes.breaches == 0)
  }

  @Test func `every job of a pool is done once`() {
    let pool = WorkerPool(name: "test", limit: 3)
    let done = AtomicBox()
    let group = ThreadGroup()
    for _ in 0..<4 {
      group.start {
        for _ in 0..<500 {
          let waiter = ThreadGroup()
          waiter.enter()
          pool.submit {
            _ = done.add(1)
            waiter.leave()
          }
          waiter.join()
        }
      }
    }
    group.join()
    #expect(done.value == 2000)
  }

  @Test func `a power cut keeps what was synced and any part of the rest`() throws {
    let file = PowerCutFile()
    try file.write([UInt8](repeating: 1, count: 2048), at: 0)
    try file.flush()
    let synced = file.now
    try file.write([UInt8](repeating: 2, count: 2048), at: 0)
    var generator = SeededGenerator(seed: 1)
    var seen: Set<[UInt8]> = []
    for _ in 0..<200 {
      #expect(file.state(at: synced, using: &generator) == [UInt8](repeating: 1, count: 2048))
      let state = file.state(at: file.now, using: &generator)
      for sector in 0..<4 {
        #expect(Set(state[sector * 512..<sector * 512 + 512]).count == 1)
      }
      seen.insert(state)
    }
    #expect(seen.count > 10)
  }
}

/// Notes when two threads are in the same place.
final class Counters: @unchecked Sendable {
  // `inside` is what the lock under test protects; `breachCount` is atomic.
  private let inside = (0..<16).map { _ in AtomicBox() }
  private let breachCount = AtomicBox()

  var breaches: Int { breachCount.value }

  func increment(_ range: Range<Int>) {
    for place in range where inside[place].add(1) != 1 { _ = breachCount.add(1) }
    for place in range { _ = inside[place].add(-1) }
  }
}

final class AtomicBox: Sendable {
  private let atomic = Atomic<Int>(0)
  var value: Int { atomic.load(ordering: .sequentiallyConsistent) }
  func add(_ amount: Int) -> Int { atomic.add(amount, ordering: .sequentiallyConsistent).newValue }
}
