import BlockLayers
import Glibc
import Testing

@testable import VHD

/// What a killed process knew of its layer, and had told its clients, is not lost.
@Suite struct MetadataLogTests {
  static let seed = getenv("FTVS_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1
  static let boot = "this start"
  let directory = TemporaryDirectory()
  private var log: String { directory.path("log") }

  private func open(_ depth: Int, log: MetadataLog? = nil) throws -> VHDLayer {
    var layer: VHDLayer?
    for index in 0..<depth {
      let isTop = index == depth - 1
      let file = try PosixFile(path: directory.path("\(index)"), mode: .readWrite)
      layer = try VHDLayer.open(
        file, parent: layer.map { VHDParent($0) }, readOnly: !isTop, log: isTop ? log : nil)
    }
    return try #require(layer)
  }

  /// A file of blocks of 64 KiB, empty or on one in which everything is written.
  private func make(depth: Int, size: Int64) throws {
    try VHDLayer.createDynamic(
      PosixFile(path: directory.path("0"), mode: .create), size: size, blockSize: 65536)
    guard depth > 1 else { return }
    let base = try open(1)
    try base.write([UInt8](repeating: 0xee, count: Int(size)), at: 0)
    try base.flush()
    try VHDLayer.createDifferencing(
      PosixFile(path: directory.path("1"), mode: .create), size: size,
      parent: .init(identity: base.identity, name: "0"),
      blockSize: 65536)
  }

  private func begin(_ depth: Int) throws -> MetadataLog {
    let file = try PosixFile(path: directory.path("\(depth - 1)"), mode: .read)
    return MetadataLog(path: log, layer: try VHDStructure(file).identity.uuid, boot: Self.boot)
  }

  /// What the next process does first.
  private func settle(_ depth: Int) throws {
    guard let found = try MetadataLog.read(path: log, boot: Self.boot) else { return }
    try VHDLayer.settle(found, in: PosixFile(path: directory.path("\(depth - 1)"), mode: .readWrite))
  }

  @Test(arguments: [1, 2]) func `what was acknowledged survives kills without a flush`(depth: Int) throws {
    let size = 3_000_000 / 512 * 512
    var generator = SeededGenerator(seed: Self.seed)
    try make(depth: depth, size: Int64(size))
    var model = [UInt8](repeating: depth == 1 ? 0 : 0xee, count: size)
    for life in 0..<12 {
      try settle(depth)
      let layer = try open(depth, log: try begin(depth))
      #expect(try layer.bytes(at: 0, count: size) == model, "FTVS_SEED=\(Self.seed), life \(life)")
      for _ in 0..<Int.random(in: 0..<60, using: &generator) {
        try ModelTests().change(layer, &model, &generator)
      }
      // A kill: nothing is flushed, nothing is closed.
      _ = Unmanaged.passRetained(layer)
    }
    try settle(depth)
    #expect(try open(depth).bytes(at: 0, count: size) == model)
    #expect(try VHDLayer.verify(PosixFile(path: directory.path("\(depth - 1)"), mode: .read)).isSound)
  }

  @Test func `parallel writers are killed, and each finds what was acknowledged to it`() throws {
    let (size, page) = (8 << 20, 4096)
    try make(depth: 2, size: Int64(size))
    for life in 1...3 {
      try settle(2)
      let layer = try open(2, log: try begin(2))
      let threads = ThreadGroup()
      for thread in 0..<4 {
        threads.start {
          for index in stride(from: thread, to: size / page, by: 5) {
            try? layer.write([UInt8](repeating: UInt8(life), count: page), at: Int64(index * page))
            if index % 300 == thread { try? layer.flush() }
          }
        }
      }
      threads.join()
      _ = Unmanaged.passRetained(layer)
    }
    try settle(2)
    let content = try open(2).bytes(at: 0, count: size)
    #expect((0..<size / page).allSatisfy { content[$0 * page] == ($0 % 5 == 4 ? 0xee : 3) })
  }

  @Test func `what a flush wrote is not kept any longer, and the log of a layer that was closed in order goes`() throws
  {
    try make(depth: 1, size: 1 << 20)
    let log = try begin(1)
    let layer = try open(1, log: log)
    try layer.write([1, 2, 3], at: 0)
    #expect(try MetadataLog.read(path: self.log, boot: Self.boot)?.records.count == 1)
    #expect(!log.end())
    try layer.flush()
    #expect(try MetadataLog.read(path: self.log, boot: Self.boot)?.records == [])
    #expect(log.end())
    #expect(access(self.log, F_OK) != 0)
  }

  @Test func `where nothing can be kept all is flushed before it is acknowledged`() throws {
    try make(depth: 2, size: 1 << 20)
    let log = MetadataLog(path: "/nonexistent/log", layer: .random(), boot: Self.boot)
    #expect(!log.canKeep)
    let layer = try open(2, log: log)
    for index in 0..<20 { try layer.write([UInt8](repeating: 7, count: 4096), at: Int64(index) * 50_000 / 4096 * 4096) }
    _ = Unmanaged.passRetained(layer)
    let after = try open(2)
    for index in 0..<20 { #expect(try after.bytes(at: Int64(index) * 50_000 / 4096 * 4096, count: 1) == [7]) }
  }

  @Test func `more than a log holds is flushed before it is acknowledged`() throws {
    let log = MetadataLog(path: self.log, layer: .random(), boot: Self.boot)
    for index in 0...MetadataLog.capacity { log.keep(.cells(block: UInt32(index), first: 0, count: 1)) }
    #expect(log.wantsFlush)
    let retired = try #require(log.retire())
    log.keep(.entry(block: 1, sector: 2))
    // What is retired is not enough as long as it is not in the file.
    #expect(log.wantsFlush)
    #expect(log.retire() == nil)
    log.forget(retired)
    #expect(!log.wantsFlush)
    #expect(try MetadataLog.read(path: self.log, boot: Self.boot)?.records == [.entry(block: 1, sector: 2)])
  }

  @Test(
    arguments: [
      .entry(block: 0, sector: 0), .entry(block: 1 << 30 - 1, sector: .max), .cells(block: 5, first: 0, count: 1 << 16),
      .cells(block: 1 << 30 - 1, first: 65535, count: 1),
    ] as [MetadataLog.Record])
  func `a record is read as it was kept`(record: MetadataLog.Record) {
    #expect(MetadataLog.Record(word: record.word) == record)
  }

  @Test func `a log of another start of the machine, or one that was just being made, says nothing`() throws {
    let log = MetadataLog(path: self.log, layer: .random(), boot: Self.boot)
    log.keep(.entry(block: 1, sector: 2))
    #expect(try MetadataLog.read(path: self.log, boot: "another start") == nil)
    #expect(try MetadataLog.read(path: directory.path("none"), boot: Self.boot) == nil)
    let half = try PosixFile(path: directory.path("half"), mode: .create)
    try half.write([UInt8](repeating: 0, count: 5000), at: 0)
    #expect(try MetadataLog.read(path: directory.path("half"), boot: Self.boot) == nil)
  }

  @Test func `mutated logs are entered or refused, and never trap`() throws {
    var generator = SeededGenerator(seed: Self.seed)
    try make(depth: 2, size: 1 << 20)
    let kept = try begin(2)
    let layer = try open(2, log: kept)
    for index in 0..<10 { try layer.write([UInt8](repeating: 1, count: 4096), at: Int64(index) * 90_112) }
    let bytes = try directory.content("log")
    let image = try directory.content("1")
    var refused = 0
    for round in 0..<300 {
      var mutated = Array(bytes.prefix(MetadataLog.headerLength + 256))
      for _ in 0..<Int.random(in: 1...6, using: &generator) {
        let at = Int.random(in: round % 3 == 0 ? 0..<64 : 4096..<mutated.count, using: &generator)
        mutated[at] = .random(in: .min ... .max, using: &generator)
      }
      try PosixFile(path: directory.path("mutated\(round)"), mode: .create).write(mutated, at: 0)
      try PosixFile(path: directory.path("image\(round)"), mode: .create).write(image, at: 0)
      do {
        let log = directory.path("mutated\(round)")
        guard let found = try MetadataLog.read(path: log, boot: Self.boot) else { continue }
        let file = try PosixFile(path: directory.path("image\(round)"), mode: .readWrite)
        try VHDLayer.settle(found, in: file)
        _ = try VHDLayer.open(file, parent: VHDParent(try open(1)), readOnly: true).bytes(at: 0, count: 1 << 20)
      } catch let error as BlockError {
        #expect(error.kind == .damaged, "FTVS_SEED=\(Self.seed), round \(round): \(error)")
        refused += 1
      }
    }
    #expect(refused > 20)
    withExtendedLifetime(layer) {}
  }
}
