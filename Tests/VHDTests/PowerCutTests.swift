import BlockLayers
import Glibc
import Testing
import VHD

/// Cuts the power at any moment of random writes and flushes. Every sector must hold what the last flush made durable or
/// what was written since; the file must open and work.
///
/// `FTVS_POWER_CUTS` sets the number of states of each test, `FTVS_SEED` replays a seed that a failure printed.
@Suite struct PowerCutTests {
  static let states = getenv("FTVS_POWER_CUTS").flatMap { Int(String(cString: $0)) } ?? 120
  static let seed = getenv("FTVS_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1

  static let sectors = 160
  static let size = Int64(sectors * 512)

  /// What was done, and when on the file's clock.
  struct Action {
    var began: Int
    var ended: Int
    /// Nil is a flush.
    var sectors: Range<Int>?
    var tag: UInt64
  }

  func tagged(_ count: Int, _ tag: UInt64) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count * 512)
    for at in stride(from: 0, to: bytes.count, by: 8) {
      for byte in 0..<8 { bytes[at + byte] = UInt8(truncatingIfNeeded: tag >> (byte * 8)) }
    }
    return bytes
  }

  /// The tag of each sector; nil for one that is torn.
  func tags(_ bytes: [UInt8]) -> [UInt64?] {
    stride(from: 0, to: bytes.count, by: 512).map { sector in
      let tag = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[sector + $1]) << ($1 * 8) }
      return Array(bytes[sector..<sector + 512]) == tagged(1, tag) ? tag : nil
    }
  }

  func work(_ layer: VHDLayer, _ file: PowerCutFile, _ count: Int, _ generator: inout SeededGenerator) throws
    -> [Action]
  {
    var actions: [Action] = []
    for _ in 0..<count {
      let began = file.now
      if Int.random(in: 0..<5, using: &generator) == 0 {
        try layer.flush()
        actions.append(Action(began: began, ended: file.now, tag: 0))
        continue
      }
      let first = Int.random(in: 0..<Self.sectors, using: &generator)
      let range = first..<min(first + Int.random(in: 1...12, using: &generator), Self.sectors)
      var tag = UInt64.random(in: 1 ... .max, using: &generator)
      if Int.random(in: 0..<6, using: &generator) == 0 {
        tag = 0
        try layer.trim(at: Int64(range.lowerBound) * 512, count: Int64(range.count) * 512)
      } else {
        let flags: WriteFlags = Int.random(in: 0..<8, using: &generator) == 0 ? .forceUnitAccess : []
        try tagged(range.count, tag).withUnsafeBytes {
          try layer.write($0, at: Int64(range.lowerBound) * 512, flags: flags)
        }
        if !flags.isEmpty {
          actions.append(Action(began: began, ended: file.now, sectors: range, tag: tag))
          actions.append(Action(began: file.now, ended: file.now, tag: 0))
          continue
        }
      }
      actions.append(Action(began: began, ended: file.now, sectors: range, tag: tag))
    }
    return actions
  }

  /// What each sector may hold when the power fails at a moment.
  func legal(_ actions: [Action], _ before: [UInt64], at moment: Int) -> [Set<UInt64>] {
    var legal = before.map { Set([$0]) }
    let flushed = actions.lastIndex { $0.sectors == nil && $0.ended <= moment } ?? -1
    for (index, action) in actions.enumerated() {
      guard let sectors = action.sectors, action.began <= moment else { continue }
      for sector in sectors {
        if index < flushed { legal[sector] = [action.tag] } else { legal[sector].insert(action.tag) }
      }
    }
    return legal
  }

  func check(_ parent: VHDParent?, _ before: [UInt64], make: (PowerCutFile) throws -> Void) throws {
    var generator = SeededGenerator(seed: Self.seed)
    for round in 0..<max(Self.states / 40, 1) {
      let made = PowerCutFile()
      try make(made)
      let file = PowerCutFile(made.bytes)
      let layer = try VHDLayer.open(file, parent: parent)
      let actions = try work(layer, file, 40, &generator)
      for _ in 0..<40 {
        let moment = Int.random(in: 0...file.now, using: &generator)
        let crashed = PowerCutFile(file.state(at: moment, using: &generator))
        let legal = legal(actions, before, at: moment)
        let comment = Comment(rawValue: "FTVS_SEED=\(Self.seed), round \(round), moment \(moment)")
        let reopened = try VHDLayer.open(crashed, parent: parent)
        let found = tags(try reopened.bytes(at: 0, count: Int(Self.size)))
        for sector in 0..<Self.sectors {
          let tag = try #require(found[sector], comment)
          #expect(legal[sector].contains(tag), "sector \(sector), \(comment)")
        }
        // It goes on from there, through a second cut.
        let next = try work(reopened, crashed, 10, &generator)
        let second = Int.random(in: 0...crashed.now, using: &generator)
        let again = try VHDLayer.open(PowerCutFile(crashed.state(at: second, using: &generator)), parent: parent)
        let legalAgain = self.legal(next, found.map { $0 ?? 0 }, at: second)
        let foundAgain = tags(try again.bytes(at: 0, count: Int(Self.size)))
        for sector in 0..<Self.sectors {
          #expect(
            foundAgain[sector].map { legalAgain[sector].contains($0) } == true, "again, sector \(sector), \(comment)")
        }
      }
    }
  }

  @Test func `a dynamic file survives a power cut at any moment`() throws {
    try check(nil, [UInt64](repeating: 0, count: Self.sectors)) {
      try VHDLayer.createDynamic($0, size: Self.size, blockSize: 8192)
    }
  }

  @Test func `a differencing file survives a power cut at any moment`() throws {
    let base = PowerCutFile()
    try VHDLayer.createDynamic(base, size: Self.size, blockSize: 4096)
    let parent = try VHDLayer.open(base)
    try parent.write(tagged(Self.sectors / 2, 7), at: 0)
    let before = (0..<Self.sectors).map { UInt64($0 < Self.sectors / 2 ? 7 : 0) }
    try check(VHDParent(parent), before) {
      try VHDLayer.createDifferencing(
        $0, size: Self.size, parent: .init(identity: parent.identity, name: "base.vhd"), blockSize: 8192)
    }
  }

  @Test func `a commit that is cut off is done again with the same result`() throws {
    var generator = SeededGenerator(seed: Self.seed)
    for _ in 0..<max(Self.states / 20, 1) {
      let base = PowerCutFile()
      try VHDLayer.createDynamic(base, size: Self.size, blockSize: 8192)
      let target = try VHDLayer.open(base)
      _ = try work(target, base, 20, &generator)
      try target.flush()
      let undo = PowerCutFile()
      try VHDLayer.createDifferencing(
        undo, size: Self.size, parent: .init(identity: target.identity, name: "base.vhd"), blockSize: 8192)
      let child = try VHDLayer.open(undo, parent: target)
      _ = try work(child, undo, 20, &generator)
      try child.flush()
      let model = try child.bytes(at: 0, count: Int(Self.size))
      let began = base.now
      #expect(try child.commit(into: target))
      for _ in 0..<20 {
        let moment = Int.random(in: began...base.now, using: &generator)
        let crashed = try VHDLayer.open(PowerCutFile(base.state(at: moment, using: &generator)))
        let survivor = try VHDLayer.open(PowerCutFile(undo.bytes), parent: crashed)
        #expect(try survivor.bytes(at: 0, count: Int(Self.size)) == model)
        #expect(try survivor.commit(into: crashed))
        #expect(try crashed.bytes(at: 0, count: Int(Self.size)) == model)
      }
    }
  }
}
