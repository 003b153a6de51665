import Glibc
import Primitives
import Synchronization
import Testing

@testable import BlockLayers

/// A mirrored file whose legs lose their power, together or one by one, at any call.
@Suite struct MirrorCrashTests {
  static let size = 12 << 20
  static let seeds: [UInt64] = {
    if let text = getenv("FTVS_SEED").map({ String(cString: $0) }), let seed = UInt64(text) { return [seed] }
    return Array(1...8)
  }()

  private final class Membership: Sendable {
    private let state = Mutex(Set(LegID.allCases))
    var inStep: Set<LegID> {
      get { state.withLock { $0 } }
      set { state.withLock { $0 = newValue } }
    }
  }

  private final class World {
    let legs = LegID.allCases.map { SimulatedLeg($0, [UInt8](repeating: 0, count: size)) }
    /// What the control state knows.
    let membership = Membership()
    var model = SectorModel()
    var generator: SeededGenerator
    var isNew = true
    let calls = LegCalls()

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    var members: [SimulatedLeg] {
      let inStep = membership.inStep
      return legs.filter { inStep.contains($0.id) }
    }

    var areLegsEqual: Bool { areEqual(legs[0].data.bytes, legs[1].data.bytes) }

    func open(_ supply: Power) throws -> MirroredFile {
      defer { isNew = false }
      return try MirroredFile(
        name: "m", legs: members.map { $0.leg(supply) }, isNew: isNew, preferred: members[0].id, calls: calls
      ) { [membership] (leg, _) throws(BlockError) in
        guard supply.isOn else { throw BlockError(.io, "no power") }
        membership.inStep.remove(leg)
      }
    }

    /// Writes, syncs and cools until something fails, or `count` times.
    func work(_ file: MirroredFile, _ count: Int) {
      for _ in 0..<count {
        do {
          let sectors = size / SectorModel.sector
          let start = Int.random(in: 0..<sectors, using: &generator)
          let range = start..<min(start + Int.random(in: 1...16, using: &generator), sectors)
          let (offset, length) = (Int64(range.lowerBound * SectorModel.sector), range.count * SectorModel.sector)
          switch Int.random(in: 0..<10, using: &generator) {
          case 0..<6:
            let byte = UInt8.random(in: 1 ... .max, using: &generator)
            model.write(range, byte)
            try file.write([UInt8](repeating: byte, count: length), at: offset)
          case 6:
            model.write(range, 0)
            try file.punch(at: offset, count: Int64(length))
          case 7:
            try file.flush()
            model.sync(members[0].data.bytes)
          default: try file.coolDown()
          }
        } catch { return }
      }
    }
  }

  private func requireDifferencesHot(_ world: World, _ file: MirroredFile, _ comment: Comment) {
    guard world.members.count == 2, let hot = file.unequalExtents else { return }
    let (one, two) = (world.legs[0].data.bytes, world.legs[1].data.bytes)
    for extent in 0..<Self.size / Int(IntentRecord.extentBytes) where !hot.contains(extent) {
      let range = extent * Int(IntentRecord.extentBytes)..<(extent + 1) * Int(IntentRecord.extentBytes)
      #expect(areEqual(one, two, in: range), "extent \(extent), \(comment)")
    }
  }

  @Test(arguments: seeds)
  func `after a power cut the legs differ in hot extents only and are made equal from them`(_ seed: UInt64) throws {
    let world = World(seed: seed)
    for round in 0..<5 {
      let comment: Comment = "seed \(seed), round \(round)"
      let supply = Power()
      let file = try world.open(supply)
      requireDifferencesHot(world, file, comment)
      if round > 0, Bool.random(using: &world.generator) {
        #expect(try file.equalize() != nil)
        #expect(world.areLegsEqual, comment)
      }
      supply.fail(after: Int.random(in: 1...160, using: &world.generator))
      // Sometimes the power fails while the legs are compared.
      if Bool.random(using: &world.generator) { _ = try? file.equalize() }
      world.work(file, 60)
      for leg in world.legs { leg.failPower(using: &world.generator) }
      #expect(world.membership.inStep.count == 2)
      #expect(world.model.check(world.legs[0].data.bytes) == nil, comment)
    }
    let file = try world.open(Power())
    requireDifferencesHot(world, file, "seed \(seed), end")
    #expect(try file.equalize() != nil)
    #expect(world.areLegsEqual, "seed \(seed)")
    #expect(world.model.check(world.legs[0].data.bytes) == nil, "seed \(seed)")
    file.close()
    #expect(try #require(world.open(Power()).unequalExtents).isEmpty)
  }

  @Test(arguments: seeds)
  func `a leg that was lost is made equal from the records however often it is lost again`(_ seed: UInt64) throws {
    let world = World(seed: seed)
    for round in 0..<6 {
      let comment: Comment = "seed \(seed), round \(round)"
      let supply = Power()
      let file = try world.open(supply)
      if world.members.count == 1 { try rejoin(world, file, supply, comment) }
      // One leg fails while there is work, then perhaps both.
      let lost = world.legs[Int.random(in: 0...1, using: &world.generator)]
      if world.members.count == 2 { _ = try? file.equalize() }
      lost.power.fail(after: Int.random(in: 1...80, using: &world.generator))
      world.work(file, 40)
      let isCut = Bool.random(using: &world.generator)
      if isCut { supply.fail(after: Int.random(in: 1...60, using: &world.generator)) }
      world.work(file, 30)
      if !isCut { file.close() }
      // A leg that no longer counts holds what it held when it was lost.
      for leg in world.legs where isCut || leg === lost || !world.members.contains(where: { $0 === leg }) {
        leg.failPower(using: &world.generator)
      }
      // Without a power cut what was not synced is still there, and may be lost by the next one.
      if let survivor = world.members.first, isCut || survivor === lost {
        #expect(world.model.check(survivor.data.bytes) == nil, comment)
      }
    }
    let supply = Power()
    let file = try world.open(supply)
    if world.members.count == 1 {
      try rejoin(world, file, supply, "seed \(seed), end", mayFail: false)
    } else {
      _ = try file.equalize()
    }
    #expect(world.areLegsEqual, "seed \(seed)")
  }

  /// Brings the leg that is out back into step, unless it or the power fails on the way.
  private func rejoin(
    _ world: World, _ file: MirroredFile, _ supply: Power, _ comment: Comment, mayFail: Bool = true
  ) throws {
    let back = world.legs.first { leg in !world.members.contains { $0 === leg } }
    let leg = try #require(back)
    try file.attach(leg.leg(supply))
    #expect(file.missing(on: leg.id) != nil, "it is known what the leg misses: \(comment)")
    if mayFail, Bool.random(using: &world.generator) {
      leg.power.fail(after: Int.random(in: 1...20, using: &world.generator))
    }
    world.work(file, 5)
    guard (try? file.resync(leg.id)) == true, file.setInStep(leg.id) else { return }
    world.membership.inStep.insert(leg.id)
    try file.flush()
    #expect(world.areLegsEqual, comment)
  }

  @Test(arguments: seeds)
  func `two legs that went on one after the other are made equal in what either wrote`(_ seed: UInt64) throws {
    let world = World(seed: seed)
    let both = try world.open(Power())
    world.work(both, 30)
    both.close()
    for leg in [LegID.io0, .io1] {
      world.membership.inStep = [leg]
      let file = try world.open(Power())
      world.work(file, 20)
      file.close()
    }
    let file = try world.open(Power())
    try file.attach(world.legs[0].leg(Power()))
    #expect(file.missing(on: .io0) != nil)
    #expect(try file.resync(.io0))
    #expect(file.setInStep(.io0))
    #expect(world.areLegsEqual)
  }

  @Test(arguments: seeds)
  func `an older copy of a leg is known for one or copied where it differs`(_ seed: UInt64) throws {
    let world = World(seed: seed)
    let file = try world.open(Power())
    world.work(file, Int.random(in: 0...60, using: &world.generator))
    let copy = (world.legs[1].data.bytes, world.legs[1].intent.bytes)
    world.work(file, Int.random(in: 0...60, using: &world.generator))
    if Bool.random(using: &world.generator) { file.close() }
    world.membership.inStep = [.io0]
    let alone = try world.open(Power())
    world.work(alone, 10)
    let old = (data: PowerCutFile(copy.0), intent: PowerCutFile(copy.1))
    try alone.attach(MirroredFile.Leg(id: .io1, file: old.data, intent: IntentFile(old.intent)))
    #expect(try alone.resync(.io1))
    #expect(areEqual(world.legs[0].data.bytes, old.data.bytes))
  }
}
