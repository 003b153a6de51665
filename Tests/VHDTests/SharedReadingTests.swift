import BlockLayers
import Primitives
import Synchronization
import Testing
import VHD

/// Many readers of layers that do not change, while their bitmaps come into memory and go.
@Suite(.timeLimit(.minutes(2))) struct SharedReadingTests {
  private let directory = TemporaryDirectory()
  /// More blocks with a bitmap than stay in memory.
  private static let blocks = 20_000
  private static let blockSize: Int64 = 4096

  /// Which sector of a block a layer holds.
  private static func sector(_ block: Int, _ layer: Int) -> Int { (block + 3 * layer) % 8 }

  private static func byte(_ block: Int, _ layer: Int) -> UInt8 { UInt8(truncatingIfNeeded: block &* 31 &+ layer &+ 1) }

  private func makeChain() throws -> VHDLayer {
    var top: VHDLayer?
    for number in 0..<2 {
      let path = directory.path("\(number)")
      let file = try PosixFile(path: path, mode: .create)
      let size = Int64(Self.blocks) * Self.blockSize
      if let below = top {
        let parent = VHDParentReference(identity: below.identity, name: "0", relativePath: "0")
        try VHDLayer.createDifferencing(file, size: size, parent: parent, blockSize: Self.blockSize)
      } else {
        try VHDLayer.createDynamic(file, size: size, blockSize: Self.blockSize)
      }
      let layer = try VHDLayer.open(file, parent: top.map { VHDParent($0) })
      for block in 0..<Self.blocks {
        let offset = Int64(block) * Self.blockSize + Int64(Self.sector(block, number)) * 512
        try layer.write([UInt8](repeating: Self.byte(block, number), count: 512), at: offset)
      }
      try layer.flush()
      layer.close()
      let again = try PosixFile(path: path, mode: .read)
      top = try VHDLayer.open(again, parent: top.map { VHDParent($0) }, readOnly: true)
    }
    return try #require(top)
  }

  private static func expected(_ block: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Int(blockSize))
    for layer in 0..<2 {
      let start = sector(block, layer) * 512
      for index in start..<start + 512 { bytes[index] = byte(block, layer) }
    }
    return bytes
  }

  @Test func `each reader finds each sector where it is`() throws {
    let device = try makeChain()
    let wrong = Mutex<[Int]>([])
    let group = ReaderGroup()
    for reader in 0..<4 {
      group.start {
        var random = SeededGenerator(seed: UInt64(reader) + 1)
        for _ in 0..<20_000 {
          let block = Int.random(in: 0..<Self.blocks, using: &random)
          let bytes = try? device.bytes(at: Int64(block) * Self.blockSize, count: Int(Self.blockSize))
          if bytes != Self.expected(block) { wrong.withLock { $0.append(block) } }
        }
      }
    }
    group.join()
    #expect(wrong.withLock { $0.prefix(5) } == [])
  }
}

/// Threads that are waited for.
private final class ReaderGroup: @unchecked Sendable {
  // `running` is touched only with `monitor` held.
  private let monitor = Monitor()
  private var running = 0

  func start(_ body: @escaping @Sendable () -> Void) {
    monitor.locked { running += 1 }
    let isStarted = IOThread.start(name: "reader") { [self] in
      body()
      monitor.lock()
      running -= 1
      monitor.wakeAll()
      monitor.unlock()
    }
    #expect(isStarted)
  }

  func join() {
    monitor.lock()
    while running > 0 { monitor.wait() }
    monitor.unlock()
  }
}
