import BlockLayers
import Testing
import VHD

/// A parent takes the place of the child that was committed into it.
@Suite struct VHDTakeoverTests {
  private func merged() throws -> (parent: PowerCutFile, child: VHDLayer, content: [UInt8]) {
    let base = PowerCutFile()
    try VHDLayer.createDynamic(base, size: 1 << 20, blockSize: 65536)
    let parent = try VHDLayer.open(base)
    try parent.write([UInt8](repeating: 1, count: 8192), at: 0)
    try parent.flush()
    let file = PowerCutFile()
    try VHDLayer.createDifferencing(
      file, size: 1 << 20, parent: .init(identity: parent.identity, name: "base.vhd"), blockSize: 65536)
    let child = try VHDLayer.open(file, parent: parent)
    try child.write([UInt8](repeating: 2, count: 4096), at: 4096)
    try child.flush()
    let content = try child.bytes(at: 0, count: 1 << 20)
    #expect(try child.commit(into: parent))
    return (base, child, content)
  }

  @Test func `what was made on the child opens on the parent afterwards`() throws {
    let (base, child, content) = try merged()
    let file = PowerCutFile()
    try VHDLayer.createDifferencing(
      file, size: 1 << 20, parent: .init(identity: child.identity, name: "child.vhd"), blockSize: 65536)
    try VHDLayer.takeIdentity(child.identity, in: base)
    let parent = try VHDLayer.open(base)
    #expect(parent.identity == child.identity)
    #expect(parent.kind == .dynamic)
    #expect(try VHDLayer.open(file, parent: parent).bytes(at: 0, count: 1 << 20) == content)
  }

  @Test func `cut off at any moment it can be done again`() throws {
    let (base, child, content) = try merged()
    var generator = SeededGenerator(seed: PowerCutTests.seed)
    let began = base.now
    try VHDLayer.takeIdentity(child.identity, in: base)
    for moment in began...base.now {
      for _ in 0..<20 {
        let crashed = PowerCutFile(base.state(at: moment, using: &generator))
        try VHDLayer.takeIdentity(child.identity, in: crashed)
        let parent = try VHDLayer.open(crashed)
        let comment = Comment(rawValue: "FTVS_SEED=\(PowerCutTests.seed), moment \(moment)")
        #expect(parent.identity == child.identity, comment)
        #expect(try parent.bytes(at: 0, count: 1 << 20) == content, comment)
      }
    }
  }

  @Test func `a file without a footer at its end is refused`() throws {
    let (base, child, _) = try merged()
    try base.truncate(to: base.size() - 512)
    #expect(throws: BlockError.self) { try VHDLayer.takeIdentity(child.identity, in: base) }
  }
}
