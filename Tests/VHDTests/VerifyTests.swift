import BlockLayers
import Testing
import VHD

@Suite struct VerifyTests {
  private func sample() throws -> [UInt8] {
    let file = PowerCutFile()
    try VHDLayer.createDynamic(file, size: 1 << 20, blockSize: 65536)
    let layer = try VHDLayer.open(file)
    for block in [0, 3, 7] { try layer.write([UInt8](repeating: UInt8(block + 1), count: 512), at: Int64(block) << 16) }
    try layer.flush()
    return file.bytes
  }

  private func kinds(_ bytes: [UInt8]) throws -> Set<VHDReport.Kind> {
    Set(try VHDLayer.verify(PowerCutFile(bytes)).findings.map(\.kind))
  }

  @Test func `nothing is found in a file as it should be`() throws {
    let report = try VHDLayer.verify(PowerCutFile(try sample()))
    #expect(report.isClean, "\(report)")
    #expect(report.blocks == 3)
    let fixed = PowerCutFile()
    try VHDLayer.createFixed(fixed, size: 1 << 20)
    #expect(try VHDLayer.verify(fixed).isClean)
  }

  @Test func `a damaged footer or copy is found and made from the other`() throws {
    let good = try sample()
    for (place, kind) in [(good.count - 100, VHDReport.Kind.footerDamaged), (100, .copyDamaged)] {
      var bytes = good
      bytes[place] ^= 1
      #expect(try kinds(bytes) == [kind])
      let file = PowerCutFile(bytes)
      #expect(try !VHDLayer.repair(file).isClean)
      #expect(file.bytes == good)
      #expect(try VHDLayer.open(file).bytes(at: 3 << 16, count: 512) == [UInt8](repeating: 4, count: 512))
    }
  }

  @Test func `garbage behind the end is found, and dropped only when that is allowed`() throws {
    let good = try sample()
    let bytes = good + [UInt8](repeating: 0xa5, count: 5000)
    #expect(try kinds(bytes) == [.footerDamaged, .trailingGarbage])
    let kept = PowerCutFile(bytes)
    _ = try VHDLayer.repair(kept)
    #expect(try kinds(kept.bytes) == [.trailingGarbage])
    let dropped = PowerCutFile(bytes)
    _ = try VHDLayer.repair(dropped, .dropGarbage)
    #expect(try VHDLayer.verify(dropped).isClean)
    #expect(dropped.bytes == good)
  }

  @Test func `a block outside of the file is found, and forgotten only when that is allowed`() throws {
    var bytes = try sample()
    bytes.replaceSubrange(4096 + 8..<4096 + 12, with: [0, 0x10, 0, 0])
    #expect(try kinds(bytes) == [.entryOutside])
    let file = PowerCutFile(bytes)
    #expect(try !VHDLayer.repair(file).isSound)
    #expect(throws: BlockError.self) { try VHDLayer.open(file) }
    _ = try VHDLayer.repair(file, .dropBlocks)
    #expect(try VHDLayer.verify(file).isClean)
    #expect(try VHDLayer.open(file).bytes(at: 7 << 16, count: 512) == [UInt8](repeating: 8, count: 512))
  }

  @Test func `blocks over each other are found, and one of them is kept`() throws {
    var bytes = try sample()
    bytes.replaceSubrange(4096 + 8..<4096 + 12, with: bytes[4096..<4100])
    #expect(try kinds(bytes).contains(.entryOverlaps))
    let file = PowerCutFile(bytes)
    _ = try VHDLayer.repair(file, .dropBlocks)
    #expect(try VHDLayer.verify(file).isSound)
    #expect(try VHDLayer.open(file).bytes(at: 0, count: 512) == [UInt8](repeating: 1, count: 512))
  }

  @Test func `a footer of 511 bytes is read, and made whole`() throws {
    let fixed = PowerCutFile()
    try VHDLayer.createFixed(fixed, size: 1 << 20)
    let file = PowerCutFile(fixed.bytes.dropLast())
    #expect(try VHDLayer.open(file, readOnly: true).size == 1 << 20)
    #expect(try VHDLayer.verify(file).findings.map(\.kind) == [.footerShort])
    _ = try VHDLayer.repair(file)
    #expect(file.bytes == fixed.bytes)
    let short = PowerCutFile(try sample().dropLast())
    #expect(try VHDLayer.open(short).bytes(at: 0, count: 512) == [UInt8](repeating: 1, count: 512))
  }

  @Test func `what is no VHD file is said to be unreadable`() throws {
    #expect(try kinds([UInt8](repeating: 0, count: 4096)) == [.unreadable])
    #expect(try kinds([1, 2, 3]) == [.unreadable])
  }

  @Test func `a repair that is cut off at any moment can be done again`() throws {
    var generator = SeededGenerator(seed: PowerCutTests.seed)
    var damaged = try sample() + [UInt8](repeating: 0xa5, count: 5000)
    damaged.replaceSubrange(4096 + 8..<4096 + 12, with: [0, 0x10, 0, 0])
    let file = PowerCutFile(damaged)
    _ = try VHDLayer.repair(file, [.dropGarbage, .dropBlocks])
    for moment in 0...file.now {
      for _ in 0..<10 {
        let crashed = PowerCutFile(file.state(at: moment, using: &generator))
        _ = try VHDLayer.repair(crashed, [.dropGarbage, .dropBlocks])
        let comment = Comment(rawValue: "FTVS_SEED=\(PowerCutTests.seed), moment \(moment)")
        #expect(try VHDLayer.verify(crashed).isClean, comment)
        #expect(
          try VHDLayer.open(crashed).bytes(at: 7 << 16, count: 512) == [UInt8](repeating: 8, count: 512), comment)
      }
    }
  }

  @Test func `verifying, repairing and growing mutated files never trap`() throws {
    let original = try sample()
    var generator = SeededGenerator(seed: PowerCutTests.seed)
    var repaired = 0
    for _ in 0..<300 {
      var bytes = original
      for _ in 0..<Int.random(in: 1...8, using: &generator) {
        let place = Int.random(in: 0..<(Bool.random(using: &generator) ? 4400 : bytes.count), using: &generator)
        bytes[place] = [0, 1, 0x7f, 0x80, 0xfe, 0xff].randomElement(using: &generator) ?? 0
      }
      if Int.random(in: 0..<4, using: &generator) == 0 {
        bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator))
      }
      if Bool.random(using: &generator) { FormatTests().fixSums(&bytes) }
      let file = PowerCutFile(bytes)
      _ = try? VHDLayer.repair(file, [.dropGarbage, .dropBlocks])
      if (try? VHDLayer.verify(file))?.isSound == true {
        repaired += 1
        // What is said to be sound opens, whatever its header says of a parent.
        do {
          let layer = try VHDLayer.open(file)
          _ = try layer.bytes(at: 0, count: Int(min(layer.size, 1 << 20)))
        } catch let error as BlockError {
          #expect(error.kind == .parentMismatch || error.kind == .tooLarge, "FTVS_SEED=\(PowerCutTests.seed): \(error)")
        }
      }
      if let size = try? VHDStructure(file).size { try? VHDLayer.grow(file, to: min(size + 65536, 1 << 30)) }
    }
    #expect(repaired > 30)
  }
}
