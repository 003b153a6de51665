import Primitives

/// A file in memory that remembers every write and sync, and can tell what a disk may hold after the power failed at any
/// moment.
///
/// Permitted faults: what was written after the last sync that ended before the cut is there or not in any combination,
/// in pieces of 512 bytes; the length may have grown or not. What was synced is there.
public final class PowerCutFile: ByteFile, @unchecked Sendable {
  // Everything mutable is touched only with `monitor` held.
  private enum Event {
    case write(Int, [UInt8])
    case zero(Range<Int>)
    case truncate(Int)
    case sync
  }

  /// Pieces that reach the disk whole.
  public static let piece = 512
  /// The largest length, so that a damaged number in a test does not fill the memory.
  static let limit = 1 << 30

  public let name = "power-cut file"
  private let monitor = Monitor()
  private let initial: [UInt8]
  private var content: [UInt8]
  private var events: [Event] = []
  private var closed = false

  /// A file that holds these bytes, durably.
  public init(_ content: [UInt8] = []) {
    initial = content
    self.content = content
  }

  /// How much has happened; a moment for `state(at:)`.
  public var now: Int { monitor.locked { events.count } }

  /// All that it holds.
  public var bytes: [UInt8] { monitor.locked { content } }

  /// What may be on disk when the power fails at a moment, one of many possibilities as the generator decides.
  public func state(at moment: Int, using generator: inout SeededGenerator) -> [UInt8] {
    let events = monitor.locked { Array(self.events.prefix(moment)) }
    var bytes = initial
    let synced = events.lastIndex { if case .sync = $0 { true } else { false } } ?? -1
    // Mostly lost, mostly there, and between.
    let probability = [0.0, 0.1, 0.5, 0.9, 1.0].randomElement(using: &generator) ?? 0.5
    for (index, event) in events.enumerated() {
      let isSynced = index < synced
      func happens() -> Bool { isSynced || Double.random(in: 0..<1, using: &generator) < probability }
      switch event {
      case .write(let offset, let data):
        var at = offset
        while at < offset + data.count {
          let end = min((at / Self.piece + 1) * Self.piece, offset + data.count)
          if happens() {
            Self.grow(&bytes, to: end)
            Self.copy(data, at - offset..<end - offset, to: &bytes, at: at)
          }
          at = end
        }
      case .zero(let range):
        if happens() { Self.zero(&bytes, range) }
      case .truncate(let size):
        if happens() {
          if size < bytes.count { bytes.removeSubrange(size...) }
          Self.grow(&bytes, to: size)
        }
      case .sync: break
      }
    }
    return bytes
  }

  private static func grow(_ bytes: inout [UInt8], to size: Int) {
    if bytes.count < size { bytes.append(contentsOf: repeatElement(0, count: size - bytes.count)) }
  }

  private static func copy(_ data: [UInt8], _ range: Range<Int>, to bytes: inout [UInt8], at offset: Int) {
    data.withUnsafeBytes { source in
      bytes.withUnsafeMutableBytes {
        UnsafeMutableRawBufferPointer(rebasing: $0[offset..<offset + range.count])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[range]))
      }
    }
  }

  private static func zero(_ bytes: inout [UInt8], _ range: Range<Int>) {
    let range = range.clamped(to: 0..<bytes.count)
    bytes.withUnsafeMutableBytes {
      _ = UnsafeMutableRawBufferPointer(rebasing: $0[range]).initializeMemory(as: UInt8.self, repeating: 0)
    }
  }

  public func size() throws(BlockError) -> Int64 { Int64(monitor.locked { content.count }) }

  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    monitor.lock()
    defer { monitor.unlock() }
    try check(offset, Int64(buffer.count))
    guard Int(offset) + buffer.count <= content.count else {
      throw BlockError(.outOfRange, errno: 5, "\(name): read at \(offset)")
    }
    content.withUnsafeBytes { buffer.copyMemory(from: .init(rebasing: $0[Int(offset)..<Int(offset) + buffer.count])) }
  }

  public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    monitor.lock()
    defer { monitor.unlock() }
    try check(offset, Int64(buffer.count))
    guard !buffer.isEmpty else { return }
    let end = Int(offset) + buffer.count
    Self.grow(&content, to: end)
    content.withUnsafeMutableBytes {
      UnsafeMutableRawBufferPointer(rebasing: $0[Int(offset)..<end]).copyMemory(from: buffer)
    }
    events.append(.write(Int(offset), Array(buffer)))
  }

  public func flush() throws(BlockError) {
    monitor.lock()
    defer { monitor.unlock() }
    try check(0, 0)
    events.append(.sync)
  }

  public func truncate(to size: Int64) throws(BlockError) {
    monitor.lock()
    defer { monitor.unlock() }
    try check(size, 0)
    if Int(size) < content.count { content.removeSubrange(Int(size)...) }
    Self.grow(&content, to: Int(size))
    events.append(.truncate(Int(size)))
  }

  public func allocate(at offset: Int64, count: Int64) throws(BlockError) {
    let (size, end) = (try size(), offset + count)
    if size < end { try truncate(to: end) }
  }

  public func punch(at offset: Int64, count: Int64) throws(BlockError) {
    monitor.lock()
    defer { monitor.unlock() }
    try check(offset, count)
    let range = Int(offset)..<Int(offset + count)
    Self.zero(&content, range)
    events.append(.zero(range))
  }

  public func close() { monitor.locked { closed = true } }

  private func check(_ offset: Int64, _ count: Int64) throws(BlockError) {
    if closed { throw BlockError(.closed, name) }
    guard offset >= 0, count >= 0, offset <= Self.limit, count <= Self.limit, offset + count <= Self.limit else {
      throw BlockError(.outOfRange, "\(name): \(count) bytes at \(offset)")
    }
  }
}
