import Glibc
import Testing

/// Cuts the power at any moment of random operations on a mirrored chain of layers.
///
/// `FTVS_POWER_CUT_STATES` sets the number of distinct states, `FTVS_SEED` replays a seed that a failure printed.
@Suite struct ChainPowerCutTests {
  static let states = getenv("FTVS_POWER_CUT_STATES").flatMap { Int(String(cString: $0)) } ?? 10_000
  static let seed = getenv("FTVS_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1

  @Test func `a mirrored chain survives a power cut at any moment of any operation`() throws {
    let pool = ImagePool()
    var count = CutCount()
    var world: UInt64 = 0
    while count.states.count < Self.states {
      let walk = ChainWalk(seed: Self.seed &+ world, pool: pool, count: count, limit: Self.states)
      count = CutCount()
      walk.run(lives: 8)
      count = walk.count
      if let failure = walk.failure {
        Issue.record(Comment(rawValue: failure))
        return
      }
      world += 1
    }
    print(count)
  }
}
