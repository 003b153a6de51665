import Primitives
import Glibc

/// A random number generator that a seed replays (SplitMix64).
public struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

/// Which faults happen, and when. Shared by the layers that are to fail together; faults can be added and removed at
/// any time.
public final class FaultPlan: @unchecked Sendable {
  // Everything mutable is touched only with `monitor` held.
  private let monitor = Monitor()
  private var faults: [Fault] = []
  private var generator: SeededGenerator

  /// What is called.
  public enum Operation: Sendable, Hashable { case read, write, flush, resize, any }

  /// What happens then.
  public enum Effect: Sendable, Hashable {
    /// The call fails with this error number and does nothing.
    case error(Int32)
    /// The first half of the bytes is written (or read), then the call fails with `EIO`.
    case short
    /// The call is made this many microseconds late.
    case delay(microseconds: UInt32)
  }

  /// One fault.
  public struct Fault: Sendable {
    var operation: Operation
    var effect: Effect
    var skip: Int
    var times: Int
    var probability: Double

    /// - Parameters:
    ///   - skip: matching calls that are let through first.
    ///   - times: how often it happens then.
    ///   - probability: of each matching call, 0...1.
    public init(
      _ operation: Operation, _ effect: Effect, skip: Int = 0, times: Int = .max, probability: Double = 1
    ) {
      self.operation = operation
      self.effect = effect
      self.skip = skip
      self.times = times
      self.probability = probability
    }
  }

  public init(seed: UInt64 = 0) { generator = SeededGenerator(seed: seed) }

  /// Adds a fault.
  public func add(_ fault: Fault) { monitor.locked { faults.append(fault) } }

  /// Removes all faults.
  public func clear() { monitor.locked { faults.removeAll() } }

  /// What happens to this call; counts it.
  func effect(on operation: Operation) -> Effect? {
    monitor.locked {
      for index in faults.indices {
        let fault = faults[index]
        guard fault.operation == operation || fault.operation == .any, fault.times > 0 else { continue }
        if fault.probability < 1, Double.random(in: 0..<1, using: &generator) >= fault.probability { continue }
        if fault.skip > 0 {
          faults[index].skip -= 1
          continue
        }
        faults[index].times -= 1
        return fault.effect
      }
      return nil
    }
  }

  /// Makes a call that works on `count` bytes as the plan has it.
  func run(
    _ operation: Operation, _ place: String, count: Int = 0, _ body: (Int) throws(BlockError) -> Void
  ) throws(BlockError) {
    switch effect(on: operation) {
    case nil: try body(count)
    case .error(let number): throw .system(number, "injected fault in \(place)")
    case .short:
      try body(count / 2)
      throw BlockError(.io, "injected short \(operation) in \(place)")
    case .delay(let microseconds):
      usleep(microseconds)
      try body(count)
    }
  }
}

/// A file that fails as planned.
public final class FaultFile: ByteFile {
  private let file: any ByteFile
  private let plan: FaultPlan

  public init(_ file: any ByteFile, _ plan: FaultPlan) {
    self.file = file
    self.plan = plan
  }

  public var name: String { file.name }
  public func size() throws(BlockError) -> Int64 { try file.size() }
  public func close() { file.close() }
  public func nextData(at offset: Int64) throws(BlockError) -> Range<Int64>? { try file.nextData(at: offset) }

  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try plan.run(.read, name, count: buffer.count) { (count) throws(BlockError) in
      try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), at: offset)
    }
  }

  /// A planned delay is a disk's.
  public func readWithoutWaiting(
    into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
  ) throws(BlockError) -> Bool { false }

  public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    try plan.run(.write, name, count: buffer.count) { (count) throws(BlockError) in
      try file.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: offset)
    }
  }

  public func flush() throws(BlockError) {
    try plan.run(.flush, name) { (_) throws(BlockError) in try file.flush() }
  }

  public func truncate(to size: Int64) throws(BlockError) {
    try plan.run(.resize, name) { (_) throws(BlockError) in try file.truncate(to: size) }
  }

  public func allocate(at offset: Int64, count: Int64) throws(BlockError) {
    try plan.run(.resize, name) { (_) throws(BlockError) in try file.allocate(at: offset, count: count) }
  }

  public func punch(at offset: Int64, count: Int64) throws(BlockError) {
    try plan.run(.write, name) { (_) throws(BlockError) in try file.punch(at: offset, count: count) }
  }
}

/// A device that fails as planned.
public final class FaultDevice: BlockDevice {
  private let device: any BlockDevice
  private let plan: FaultPlan

  public init(_ device: any BlockDevice, _ plan: FaultPlan) {
    self.device = device
    self.plan = plan
  }

  public var size: Int64 { device.size }
  public var isReadOnly: Bool { device.isReadOnly }
  public func close() { device.close() }

  public func extents(at offset: Int64, count: Int64) throws(BlockError) -> [Extent] {
    try device.extents(at: offset, count: count)
  }

  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try plan.run(.read, "device", count: buffer.count) { (count) throws(BlockError) in
      try device.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), at: offset)
    }
  }

  public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64, flags: WriteFlags) throws(BlockError) {
    try plan.run(.write, "device", count: buffer.count) { (count) throws(BlockError) in
      try device.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: offset, flags: flags)
    }
  }

  public func flush() throws(BlockError) {
    try plan.run(.flush, "device") { (_) throws(BlockError) in try device.flush() }
  }

  public func trim(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    try plan.run(.write, "device") { (_) throws(BlockError) in
      try device.trim(at: offset, count: count, flags: flags)
    }
  }

  public func writeZeroes(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    try plan.run(.write, "device") { (_) throws(BlockError) in
      try device.writeZeroes(at: offset, count: count, flags: flags)
    }
  }
}
