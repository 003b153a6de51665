import Primitives

@testable import BlockLayers

/// How many states were looked at.
struct CutCount: CustomStringConvertible {
  var states: Set<UInt64> = []
  var repeated = 0
  var moments = 0
  var cuts = 0
  /// States of each operation.
  var operations: [String: Int] = [:]

  var description: String {
    let shares = operations.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    return """
      \(states.count) distinct states (\(repeated) more were the same) at \(moments) moments, \(cuts) cuts went on: \(shares)
      """
  }
}

/// Random operations on a volume, power cuts between and under them, and going on with one of the states that they left.
final class ChainWalk {
  private let seed: UInt64
  private let limit: Int
  var generator: SeededGenerator
  private let pool: ImagePool
  let layout: VolumeLayout
  private let calls: LegCalls
  private let checkCalls: LegCalls
  var host: ChainHost
  private(set) var count: CutCount
  /// What is being done, for people.
  var doing = "making the volume"
  private var lastMoment = 0
  /// What was found wrong.
  private(set) var failure: String?
  /// Where the volume goes on after the cut.
  private var successor: (disks: SimulatedDisks, record: ChainRecord)?
  var numbers: UInt64 = 0
  private var incarnation = 0

  /// - Parameter limit: the number of distinct states at which it ends.
  init(seed: UInt64, pool: ImagePool, count: CutCount, limit: Int) {
    (self.seed, self.pool, self.count, self.limit) = (seed, pool, count, limit)
    generator = SeededGenerator(seed: seed)
    let sizes: [Int64] = [4096, 8192, 16384]
    layout =
      Int.random(in: 0..<6, using: &generator) == 0
      ? .wide : .dense(blockBytes: sizes.randomElement(using: &generator) ?? 8192)
    calls = SimulatedCallers.calls(seed: seed)
    checkCalls = SimulatedCallers.calls(seed: seed)
    host = ChainHost(
      SimulatedDisks(pool: pool, isRecording: true), layout, ChainRecord(sectors: 96), calls: calls)
  }

  /// Walks through some lives of the volume, each ended by a cut.
  func run(lives: Int) {
    for life in 0..<lives where failure == nil && count.states.count < limit {
      incarnation = life
      lastMoment = Int.random(in: 20...500, using: &generator)
      host.disks.onMoment = { [unowned self] in cut() }
      successor = nil
      do {
        try live()
      } catch {
        // Without a cut nothing may fail.
        if successor == nil, failure == nil { fail("\(error)") }
      }
      host.disks.onMoment = nil
      guard failure == nil, let next = successor else { return }
      let wasSpoiled = host.isSpoiled
      host = ChainHost(next.disks, layout, next.record, calls: calls)
      host.isSpoiled = wasSpoiled
    }
  }

  private func live() throws {
    doing = "recovering"
    try host.recover()
    if host.isSpoiled {
      _ = try host.scrub()
      host.isSpoiled = false
    }
    doing = "making the volume"
    if host.record.layers.isEmpty { try host.putOnTop(.base) }
    doing = "going on with jobs"
    // They go on while the volume is used, or before, and so does the comparison.
    if Bool.random(using: &generator) {
      try host.finishJobs()
      try compare()
    }
    while successor == nil { try step() }
  }

  private func fail(_ what: String) {
    failure = """
      \(what); while \(doing), in life \(incarnation) at operation \(host.disks.moment). FTVS_SEED=\(seed) replays it.
      \(host.record.summary)
      """
  }

  // MARK: Cuts

  /// Looks at states of this moment, now and then; false when the power fails for the volume, too.
  private func cut() -> Bool {
    guard failure == nil else { return false }
    let isLast = host.disks.moment >= lastMoment
    guard isLast || Int.random(in: 0..<5, using: &generator) == 0 else { return true }
    count.moments += 1
    let pending = host.disks.pending
    for _ in 0..<3 where failure == nil { _ = look(at: .random(of: pending, using: &generator)) }
    guard isLast, failure == nil else { return failure == nil }
    let choice = CutChoice.random(of: pending, using: &generator)
    guard let content = look(at: choice, again: true) else { return false }
    var record = host.record
    record.model = VolumeModel(exactly: content)
    successor = (host.disks.state(choice, isRecording: true), record)
    count.cuts += 1
    return false
  }

  /// Looks at one state, unless that was done before. Returns what the volume holds then.
  private func look(at choice: CutChoice, again: Bool = false) -> [UInt64]? {
    let state = host.disks.state(choice, isRecording: false)
    let hash = DiskImage.mixed(state.hash, UInt64(host.record.version))
    var checking = SeededGenerator(seed: generator.next())
    if !count.states.insert(hash).inserted {
      count.repeated += 1
      if !again { return nil }
    } else {
      count.operations[String(doing.prefix { $0 != " " }), default: 0] += 1
    }
    do {
      let found = ChainHost(state, layout, host.record, calls: checkCalls)
      found.isSpoiled = host.isSpoiled
      return try found.check(&checking)
    } catch {
      fail("\(error), of \(choice.kind)")
      return nil
    }
  }
}
