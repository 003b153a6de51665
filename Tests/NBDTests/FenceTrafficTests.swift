import BlockLayers
import NBD
import Synchronization
import Testing

/// A device that counts what is under way and what has begun.
final class CountingDevice: BlockDevice {
  let size: Int64 = 1 << 20
  private let device = MemoryDevice(size: 1 << 20)
  private let running = Atomic<Int>(0)
  private let begun = Atomic<Int>(0)

  var inFlight: Int { running.load(ordering: .sequentiallyConsistent) }
  var calls: Int { begun.load(ordering: .sequentiallyConsistent) }

  private func counted<T>(_ body: () throws(BlockError) -> T) throws(BlockError) -> T {
    running.add(1, ordering: .sequentiallyConsistent)
    begun.add(1, ordering: .sequentiallyConsistent)
    defer { running.subtract(1, ordering: .sequentiallyConsistent) }
    return try body()
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try counted { () throws(BlockError) in try device.read(into: buffer, at: offset) }
  }

  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64, flags: WriteFlags) throws(BlockError) {
    try counted { () throws(BlockError) in try device.write(buffer, at: offset, flags: flags) }
  }

  func flush() throws(BlockError) { try counted { () throws(BlockError) in try device.flush() } }

  func trim(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    try counted { () throws(BlockError) in try device.trim(at: offset, count: count, flags: flags) }
  }

  func writeZeroes(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    try counted { () throws(BlockError) in try device.writeZeroes(at: offset, count: count, flags: flags) }
  }

  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [Extent] {
    try counted { () throws(BlockError) in try device.extents(at: offset, count: count) }
  }

  func close() {}
}

/// Fences while several connections are busy.
@Suite struct FenceTrafficTests {
  /// Requests of every kind, some large, some with what waits for the disk.
  static let burst: [UInt8] = (0..<20).reduce(into: []) { bytes, index in
    bytes += WireClient.bytes(1, flags: 1, offset: 4096, count: 4096) + [UInt8](repeating: 1, count: 4096)
    bytes += WireClient.bytes(3) + WireClient.bytes(0, count: 65536) + WireClient.bytes(6, count: 8192)
    bytes += WireClient.bytes(4, offset: 512, count: 512) + WireClient.bytes(5, count: 1 << 20)
    if index == 10 { bytes += WireClient.bytes(1, count: 600_000) + [UInt8](repeating: 1, count: 600_000) }
  }

  /// Sends bursts and takes the answers until the connection ends.
  static func traffic(_ client: WireClient) {
    let descriptor = client.descriptor
    let inner = ThreadGroup()
    inner.start {
      while WireClient.send(Self.burst, to: descriptor) {}
    }
    client.receiveToEnd()
    inner.join()
  }

  @Test(arguments: 0..<5) func `nothing is in flight after a fence of several busy connections`(round: Int) throws {
    let device = CountingDevice()
    let server = try TestServer([
      "a": NBDExport(device: device), "b": NBDExport(device: MemoryDevice(size: 4096)),
    ])
    let other = try WireClient(server)
    try other.go("b")
    let threads = ThreadGroup()
    for _ in 0..<4 {
      threads.start {
        guard let client = try? WireClient(server), (try? client.go("a")) != nil else { return }
        Self.traffic(client)
      }
    }
    // Until all are in the midst of it.
    while device.calls < 200 * (round + 1) { _ = server.server.sessions }
    server.exports.remove("a")
    server.server.closeSessions(of: "a")
    let (inFlight, calls) = (device.inFlight, device.calls)
    #expect(inFlight == 0)
    threads.join()
    #expect(device.calls == calls)
    #expect(server.server.sessions.map(\.exportName) == ["b"])
    other.request(3)
    #expect(try #require(other.simpleReply()) == (0, 1))
  }
}
