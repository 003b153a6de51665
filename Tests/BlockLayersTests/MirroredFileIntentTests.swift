import Glibc
import Primitives
import Synchronization
import Testing

@testable import BlockLayers

/// The write-intent records of mirrored files on the system's own files.
@Suite struct MirroredFileIntentTests {
  let directory = TemporaryDirectory()

  private func file(_ name: String) throws -> PosixFile {
    let path = directory.path(name)
    return try PosixFile(path: path, mode: access(path, F_OK) == 0 ? .readWrite : .create)
  }

  private func leg(_ id: LegID, syncs: AtomicBox = AtomicBox()) throws -> MirroredFile.Leg {
    let intent = IntentFile(SyncCounter(try file("\(id).intent"), syncs))
    return MirroredFile.Leg(id: id, file: try file(id.rawValue), intent: intent)
  }

  private func mirror(_ ids: [LegID] = LegID.allCases, isNew: Bool = false, syncs: AtomicBox = AtomicBox()) throws
    -> MirroredFile
  {
    try MirroredFile(name: "m", legs: ids.map { try leg($0, syncs: syncs) }, isNew: isNew) { _, _ in }
  }

  /// The bytes that are to be compared or copied.
  private func total(_ body: (_ progress: (Int64, Int64) -> Bool) throws -> Void) rethrows -> Int64 {
    var most: Int64 = 0
    try body { _, total in
      most = max(most, total)
      return true
    }
    return most
  }

  private func bytesToCopy(to leg: LegID, of file: MirroredFile) throws -> Int64 {
    try total { progress in _ = try file.resync(leg, progress: progress) }
  }

  private func bytesToCompare(of file: MirroredFile) throws -> Int64 {
    try total { progress in _ = try file.equalize(progress: progress) }
  }

  private let gibibyte: Int64 = 1 << 30

  @Test func `what a record on one leg alone has hot becomes so on both before it is written`() throws {
    let first = try mirror(isNew: true)
    try first.truncate(to: 8 << 20)
    try first.write([1], at: 0)
    first.close()
    let cold = try directory.content("io0.intent")
    let second = try mirror()
    try second.write([2], at: 0)
    // The power failed when the record had reached one leg.
    try file("io0.intent").write(cold, at: 0)
    #expect(IntentFile(try file("io0.intent")).read()?.hot.contains(0) == false)
    #expect(IntentFile(try file("io1.intent")).read()?.hot.contains(0) == true)
    let third = try mirror()
    try third.write([3], at: 0)
    for leg in ["io0", "io1"] { #expect(IntentFile(try file("\(leg).intent")).read()?.hot.contains(0) == true) }
    withExtendedLifetime(second) {}
  }

  @Test func `after a crash only the hot extent of a large file is compared`() throws {
    let first = try mirror(isNew: true)
    try first.truncate(to: gibibyte)
    try first.write([1], at: 700 << 20)
    // A write that reached one leg only.
    try file("io1").write([2], at: 700 << 20)
    let second = try mirror()
    #expect(try bytesToCompare(of: second) == IntentRecord.extentBytes)
    #expect(try file("io1").bytes(at: 700 << 20, count: 1) == [1])
    second.close()
    let third = try mirror()
    #expect(try bytesToCompare(of: third) == 0)
  }

  @Test func `a leg that comes back gets the extents that it missed`() throws {
    let both = try mirror(isNew: true)
    try both.truncate(to: gibibyte)
    try both.write([1], at: 8 << 20)
    both.close()
    let alone = try mirror([.io0])
    try alone.write([2], at: 100 << 20)
    try alone.write([3], at: gibibyte)
    alone.close()
    let again = try mirror([.io0])
    try again.attach(leg(.io1))
    #expect(!again.setInStep(.io1))
    #expect(try bytesToCopy(to: .io1, of: again) == IntentRecord.extentBytes + 1)
    #expect(again.setInStep(.io1))
    #expect(try file("io1").bytes(at: gibibyte, count: 1) == [3])
    #expect(try file("io1").bytes(at: 100 << 20, count: 1) == [2])
    again.close()
    #expect(try #require(mirror().unequalExtents).isEmpty)
  }

  @Test(arguments: ["missing", "foreign", "damaged"])
  func `without a record that can be trusted all is copied`(_ fault: String) throws {
    let both = try mirror(isNew: true)
    try both.truncate(to: 16 << 20)
    try both.write([1], at: 0)
    both.close()
    switch fault {
    case "missing": unlink(directory.path("io1.intent"))
    case "foreign": try IntentFile(file("io1.intent")).write(IntentRecord(counter: 9, identity: .random()))
    default: try file("io1.intent").write([7], at: 100)
    }
    let alone = try mirror([.io0])
    try alone.attach(leg(.io1))
    #expect(try bytesToCopy(to: .io1, of: alone) == 16 << 20)
    let duplex = try MirroredFile(name: "m", legs: [leg(.io0), leg(.io1)]) { _, _ in }
    #expect(duplex.unequalExtents?.isEmpty == true)
  }

  @Test(arguments: [false, true])
  func `a copy from before the last clearing is copied whole`(_ isOfTheSameRun: Bool) throws {
    let both = try mirror(isNew: true)
    try both.truncate(to: 16 << 20)
    try both.write([1], at: 0)
    if !isOfTheSameRun { both.close() }
    let old = (PowerCutFile(try directory.content("io1")), PowerCutFile(try directory.content("io1.intent")))
    let next = isOfTheSameRun ? both : try mirror()
    try next.write([2], at: 4 << 20)
    next.close()
    let alone = try mirror([.io0])
    try alone.write([3], at: 8 << 20)
    try alone.attach(MirroredFile.Leg(id: .io1, file: old.0, intent: IntentFile(old.1)))
    #expect(try bytesToCopy(to: .io1, of: alone) == 16 << 20)
    #expect(old.0.bytes == (try directory.content("io0")))
  }

  @Test func `what was distrusted is copied whole, also by the next instance`() throws {
    let both = try mirror(isNew: true)
    try both.truncate(to: 16 << 20)
    both.close()
    let alone = try mirror([.io0])
    try alone.distrustLostLeg()
    alone.close()
    let again = try mirror([.io0])
    try again.attach(leg(.io1))
    #expect(try bytesToCopy(to: .io1, of: again) == 16 << 20)
  }

  @Test func `a hot extent costs no further sync, and an idle one becomes cold at the second look`() throws {
    let syncs = AtomicBox()
    let mirror = try mirror(isNew: true, syncs: syncs)
    try mirror.truncate(to: 32 << 20)
    let before = syncs.value
    try mirror.write([1], at: 5)
    #expect(syncs.value == before + 2)
    for at in 0..<100 { try mirror.write([1], at: Int64(at) * 4096) }
    #expect(syncs.value == before + 2)
    try mirror.coolDown()
    #expect(mirror.hot.record.hot.all == [0])
    try mirror.write([1], at: 5)
    try mirror.coolDown()
    #expect(mirror.hot.record.hot.all == [0])
    try mirror.coolDown()
    #expect(mirror.hot.record.hot.isEmpty)
    try mirror.write([1], at: 5)
    #expect(mirror.hot.record.hot.all == [0])
  }

  @Test func `a burst all over a cold file waits for a few records`() throws {
    let syncs = AtomicBox()
    let mirror = try mirror(isNew: true, syncs: syncs)
    try mirror.truncate(to: gibibyte)
    let before = syncs.value
    var generator = SeededGenerator(seed: 31)
    for _ in 0..<4_000 { try mirror.write([1], at: .random(in: 0..<gibibyte, using: &generator)) }
    #expect(mirror.hot.record.hot.contains(0...255))
    #expect(syncs.value - before <= 2 * 24, "\(syncs.value - before)")
  }

  @Test func `writes here and there make hot what they change and no more`() throws {
    let mirror = try mirror(isNew: true)
    let extents = [3, 90, 170, 250, 300, 400]
    var hot = ExtentSet()
    for extent in extents {
      try mirror.write([1], at: Int64(extent) * IntentRecord.extentBytes)
      hot.formUnion(mirror.hot.record.hot)
      try mirror.coolDown()
    }
    #expect(hot.all == extents)
  }

  @Test func `with one leg the record names what the other misses and no more`() throws {
    try mirror(isNew: true).close()
    let alone = try mirror([.io0])
    let extents = [1, 9, 30, 70, 110, 150, 190]
    for extent in extents { try alone.write([1], at: Int64(extent) * IntentRecord.extentBytes) }
    #expect(alone.hot.record.hot.all == extents)
  }

  @Test func `what became hot with its neighbours and was not written becomes cold at the first look`() throws {
    let mirror = try mirror(isNew: true)
    for extent in [0, 40, 80] { try mirror.write([1], at: Int64(extent) * IntentRecord.extentBytes) }
    #expect(mirror.hot.record.hot.all == [0, 40, 80, 81])
    try mirror.coolDown()
    #expect(mirror.hot.record.hot.all == [0, 40, 80])
  }

  @Test func `no more extents are hot than the limit while both legs are there`() throws {
    let mirror = try mirror(isNew: true)
    try mirror.truncate(to: Int64(MirroredFile.hotLimit + 300) * IntentRecord.extentBytes)
    for extent in 0..<MirroredFile.hotLimit + 300 {
      try mirror.write([1], at: Int64(extent) * IntentRecord.extentBytes)
      #expect(mirror.hot.record.hot.count <= MirroredFile.hotLimit)
    }
    #expect(mirror.drop(.io1))
    for extent in 0..<MirroredFile.hotLimit + 300 {
      try mirror.write([1], at: Int64(extent) * IntentRecord.extentBytes)
    }
    #expect(mirror.hot.record.hot.contains(0...MirroredFile.hotLimit + 299))
  }

  @Test func `no write reaches a leg while its extent is cold, however fast extents cool`() throws {
    let breaches = AtomicBox()
    let watched = WatchedFile(PowerCutFile([UInt8](repeating: 0, count: 16 << 20)))
    let legs = [
      MirroredFile.Leg(id: .io0, file: watched, intent: IntentFile(PowerCutFile())),
      MirroredFile.Leg(
        id: .io1, file: PowerCutFile([UInt8](repeating: 0, count: 16 << 20)), intent: IntentFile(PowerCutFile())),
    ]
    let mirror = try MirroredFile(name: "m", legs: legs, isNew: true) { _, _ in }
    watched.watch { [unowned mirror] offset, count in
      let extents = IntentRecord.extents(at: offset, count: Int64(count))
      let isHot = mirror.hot.monitor.locked { mirror.hot.record.hot.contains(extents) }
      if !isHot { _ = breaches.add(1) }
    }
    let stop = Atomic<Bool>(false)
    let failures = AtomicBox()
    let written = AtomicBox()
    let threads = ThreadGroup()
    for writer in 0..<4 {
      threads.start {
        var generator = SeededGenerator(seed: UInt64(writer))
        while !stop.load(ordering: .relaxed) {
          let at = Int64.random(in: 0..<(16 << 20) - 512, using: &generator)
          do { try mirror.write([UInt8](repeating: 1, count: 512), at: at) } catch { _ = failures.add(1) }
          _ = written.add(1)
        }
      }
    }
    while written.value < 10_000 { try mirror.coolDown(least: 3) }
    stop.store(true, ordering: .relaxed)
    threads.join()
    #expect(failures.value == 0)
    #expect(breaches.value == 0)
    #expect(areEqual((legs[0].file as? WatchedFile)?.bytes ?? [], (legs[1].file as? PowerCutFile)?.bytes ?? []))
  }

  @Test func `a leg whose record cannot be written is lost and the write is done`() throws {
    let plan = FaultPlan()
    let lost = Mutex<[LegID]>([])
    let two = MirroredFile.Leg(
      id: .io1, file: try file("io1"), intent: IntentFile(FaultFile(try file("io1.intent"), plan)))
    let mirror = try MirroredFile(name: "m", legs: [leg(.io0), two], isNew: true) { leg, _ in
      lost.withLock { $0.append(leg) }
    }
    plan.add(.init(.flush, .error(EIO)))
    try mirror.write([1], at: 0)
    #expect(lost.withLock { $0 } == [.io1])
    #expect(try file("io0").bytes(at: 0, count: 1) == [1])
    #expect(try file("io1").size() == 0)
  }

  @Test func `an extent is hot on disk before its first change reaches a leg`() throws {
    let order = OrderLog()
    let legs = try LegID.allCases.map { id in
      MirroredFile.Leg(
        id: id, file: OrderFile(try file(id.rawValue), "data", order.note),
        intent: IntentFile(OrderFile(try file("\(id).intent"), "intent", order.note)))
    }
    let mirror = try MirroredFile(name: "m", legs: legs, isNew: true) { _, _ in }
    let before = order.all.count
    try mirror.write([1], at: 0)
    let seen = order.all.dropFirst(before)
    #expect(seen.suffix(2) == ["data write", "data write"])
    #expect(seen.dropLast(2).sorted() == ["intent flush", "intent flush", "intent write", "intent write"])
  }
}

/// Counts the syncs of a file.
private final class SyncCounter: ByteFile {
  private let file: PosixFile
  private let syncs: AtomicBox

  init(_ file: PosixFile, _ syncs: AtomicBox) {
    self.file = file
    self.syncs = syncs
  }

  var name: String { file.name }
  func size() throws(BlockError) -> Int64 { try file.size() }
  func close() { file.close() }
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try file.read(into: buffer, at: offset)
  }
  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    try file.write(buffer, at: offset)
  }
  func flush() throws(BlockError) { _ = syncs.add(1) }
  func truncate(to size: Int64) throws(BlockError) { try file.truncate(to: size) }
  func allocate(at offset: Int64, count: Int64) throws(BlockError) { try file.allocate(at: offset, count: count) }
  func punch(at offset: Int64, count: Int64) throws(BlockError) { try file.punch(at: offset, count: count) }
}

private final class OrderLog: Sendable {
  private let entries = Mutex<[String]>([])
  var all: [String] { entries.withLock { $0 } }
  var note: @Sendable (String) -> Void { { entry in self.entries.withLock { $0.append(entry) } } }
}

/// Notes the order of writes and syncs.
private final class OrderFile: ByteFile {
  private let file: PosixFile
  private let kind: String
  private let note: @Sendable (String) -> Void

  init(_ file: PosixFile, _ kind: String, _ note: @escaping @Sendable (String) -> Void) {
    self.file = file
    self.kind = kind
    self.note = note
  }

  var name: String { file.name }
  func size() throws(BlockError) -> Int64 { try file.size() }
  func close() { file.close() }
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try file.read(into: buffer, at: offset)
  }
  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    note("\(kind) write")
    try file.write(buffer, at: offset)
  }
  func flush() throws(BlockError) { note("\(kind) flush") }
  func truncate(to size: Int64) throws(BlockError) { try file.truncate(to: size) }
  func allocate(at offset: Int64, count: Int64) throws(BlockError) { try file.allocate(at: offset, count: count) }
  func punch(at offset: Int64, count: Int64) throws(BlockError) { try file.punch(at: offset, count: count) }
}

/// Tells of each write before it is done.
private final class WatchedFile: ByteFile {
  private let file: PowerCutFile
  /// A closure in a mutex is wrapped once more each time that it is read.
  private final class Watcher: Sendable {
    let see: @Sendable (Int64, Int) -> Void
    init(_ see: @escaping @Sendable (Int64, Int) -> Void) { self.see = see }
  }
  private let watcher = Mutex<Watcher?>(nil)

  init(_ file: PowerCutFile) { self.file = file }

  func watch(_ body: @escaping @Sendable (Int64, Int) -> Void) { watcher.withLock { $0 = Watcher(body) } }

  var bytes: [UInt8] { file.bytes }
  var name: String { file.name }
  func close() {}
  func size() throws(BlockError) -> Int64 { try file.size() }
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try file.read(into: buffer, at: offset)
  }
  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    let watcher = watcher.withLock { $0 }
    watcher?.see(offset, buffer.count)
    try file.write(buffer, at: offset)
  }
  func flush() throws(BlockError) { try file.flush() }
  func truncate(to size: Int64) throws(BlockError) { try file.truncate(to: size) }
  func allocate(at offset: Int64, count: Int64) throws(BlockError) { try file.allocate(at: offset, count: count) }
  func punch(at offset: Int64, count: Int64) throws(BlockError) { try file.punch(at: offset, count: count) }
}
