import Glibc
import Primitives
import Synchronization

@testable import BlockLayers

/// A power supply that fails after a number of calls.
final class Power: Sendable {
  private let left: Atomic<Int>

  init(calls: Int = .max) { left = Atomic(calls) }

  var isOn: Bool { left.load(ordering: .sequentiallyConsistent) > 0 }
  func fail(after calls: Int) { left.store(calls, ordering: .sequentiallyConsistent) }
  func draw() -> Bool { left.subtract(1, ordering: .sequentiallyConsistent).oldValue > 0 }
}

/// A file that can be reached only while there is power.
final class PoweredFile: ByteFile {
  private let file: any ByteFile
  private let supplies: [Power]

  init(_ file: any ByteFile, _ supplies: [Power]) {
    self.file = file
    self.supplies = supplies
  }

  var name: String { file.name }
  func close() {}

  private func draw() throws(BlockError) {
    for supply in supplies where !supply.draw() { throw BlockError(.io, "no power") }
  }

  func size() throws(BlockError) -> Int64 { try file.size() }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try draw()
    try file.read(into: buffer, at: offset)
  }

  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    try draw()
    try file.write(buffer, at: offset)
  }

  func flush() throws(BlockError) {
    try draw()
    try file.flush()
  }

  func truncate(to size: Int64) throws(BlockError) {
    try draw()
    try file.truncate(to: size)
  }

  func allocate(at offset: Int64, count: Int64) throws(BlockError) {
    try draw()
    try file.allocate(at: offset, count: count)
  }

  func punch(at offset: Int64, count: Int64) throws(BlockError) {
    try draw()
    try file.punch(at: offset, count: count)
  }
}

/// What lies on one leg, and the file that is open over it.
final class SimulatedLeg: @unchecked Sendable {
  // Used by one thread at a time.
  let id: LegID
  private(set) var data: PowerCutFile
  private(set) var intent: PowerCutFile
  let power = Power()

  init(_ id: LegID, _ data: [UInt8]) {
    self.id = id
    self.data = PowerCutFile(data)
    intent = PowerCutFile()
  }

  /// The leg as it may be after its power failed now.
  func failPower(using generator: inout SeededGenerator) {
    data = PowerCutFile(data.state(at: data.now, using: &generator))
    intent = PowerCutFile(intent.state(at: intent.now, using: &generator))
    power.fail(after: .max)
  }

  func leg(_ supply: Power) -> MirroredFile.Leg {
    MirroredFile.Leg(
      id: id, file: PoweredFile(data, [supply, power]), intent: IntentFile(PoweredFile(intent, [supply, power])))
  }
}

/// What may be read of each sector: what was acknowledged and synced, or anything that was written since.
struct SectorModel {
  static let sector = 512
  private var synced: [Int: UInt8] = [:]
  private var since: [Int: Set<UInt8>] = [:]

  mutating func write(_ sectors: Range<Int>, _ byte: UInt8) {
    for sector in sectors { since[sector, default: []].insert(byte) }
  }

  /// The last value of each sector written was acknowledged, and now it is synced.
  mutating func sync(_ content: [UInt8]) {
    for sector in since.keys { synced[sector] = content[sector * Self.sector] }
    since = [:]
  }

  /// A sector that holds what it must not; after that, what is found is what counts.
  mutating func check(_ content: [UInt8]) -> Int? {
    for (sector, byte) in synced.merging(since.mapValues { _ in 0 }, uniquingKeysWith: { old, _ in old }) {
      let found = content[sector * Self.sector]
      guard found == byte || since[sector]?.contains(found) == true else { return sector }
    }
    sync(content)
    return nil
  }
}

/// Whether two legs hold the same in a range. (Comparing arrays takes long in builds without optimisation.)
func areEqual(_ one: [UInt8], _ two: [UInt8], in range: Range<Int>? = nil) -> Bool {
  guard one.count == two.count else { return false }
  return one.withUnsafeBytes { one in
    two.withUnsafeBytes { two in
      let range = range ?? one.indices
      guard let left = one.baseAddress, let right = two.baseAddress else { return true }
      return memcmp(left + range.lowerBound, right + range.lowerBound, range.count) == 0
    }
  }
}
