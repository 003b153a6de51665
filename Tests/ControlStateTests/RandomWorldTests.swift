import Dispatch
import FoundationEssentials
import Glibc
import Primitives
import RPC
import ServiceAPI
import Synchronization
import Testing

@testable import ControlState

/// SplitMix64: a seed replays a run.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}

/// Takes a copy of the legs at the n-th step from now, as a crash at that instruction leaves them.
final class CrashPoint: Sendable {
  private struct State {
    var stepsLeft: Int?
    var fixture: Fixture?
    var world: Fixture?
  }
  private let state = Mutex(State())
  /// Taken while a piece of an image is copied beside the state's thread: a crash is at one instant for all threads.
  private let piece = DispatchSemaphore(value: 1)

  func arm(_ fixture: Fixture, steps: Int) {
    state.withLock { $0 = State(stepsLeft: steps, fixture: fixture, world: nil) }
  }

  /// The world at the crash, or nil when fewer steps were taken.
  func disarm() -> Fixture? {
    state.withLock { state in
      defer { state = State() }
      return state.world
    }
  }

  func pass(_ step: LegStep) {
    switch step {
    case .copy: piece.wait()
    case .copied: piece.signal()
    case .begin, .statements, .commit, .committed:
      state.withLock { state in
        guard let left = state.stepsLeft else { return }
        state.stepsLeft = left > 0 ? left - 1 : nil
        if left == 0 { state.world = copy(state.fixture) }
      }
    }
  }

  /// A copy between two pieces.
  func copy(_ fixture: Fixture?) -> Fixture? {
    piece.wait()
    defer { piece.signal() }
    return try? fixture?.crash()
  }
}

/// A host that goes through random mishaps, and what has to be true of it.
///
/// Mishaps: crashes between any two steps on the legs, legs that go and come back, crashes of the host while a leg is away,
/// starts without either leg, force. Never: a leg replaced by an older copy of itself within one generation while the
/// other is gone, which nothing on the leg could tell.
struct RandomWorld {
  var fixture = Fixture()
  var generator: SeededGenerator
  var state: ControlState?
  let crashPoint = CrashPoint()
  /// What was acknowledged, and what may or may not have been done.
  var acknowledged: [String] = []
  var uncertain: Set<String> = []
  var away: Set<LegID> = []
  var number = 0
  var trace: [String] = []

  init(seed: UInt64) { generator = SeededGenerator(state: seed) }

  mutating func step() async throws {
    guard state != nil else { return try await open() }
    switch Int.random(in: 0..<100, using: &generator) {
    case 0..<45: await write()
    case 45..<60: await toggleLeg()
    case 60..<72: try await crash()
    case 72..<80: await close()
    case 80..<85: await state?.checkLegs()
    case 85..<92: await settle()
    default: try await compare()
    }
  }

  mutating func write() async {
    number += 1
    let text = "\(number)"
    do {
      try await state?.add(text)
      acknowledged.append(text)
    } catch {
      uncertain.insert(text)
    }
    trace.append("write \(text)")
  }

  mutating func toggleLeg() async {
    let leg = LegID.allCases.randomElement(using: &generator) ?? .io0
    do {
      if away.contains(leg) { try fixture.bringBack(leg) } else { try fixture.lose(leg) }
    } catch { trace.append("toggle failed \(error)") }
    away.formSymmetricDifference([leg])
    trace.append("toggle \(leg)")
  }

  /// The process dies at some step of a write; then a leg may be gone, too.
  mutating func crash() async throws {
    crashPoint.arm(fixture, steps: Int.random(in: 0..<9, using: &generator))
    let before = acknowledged
    await write()
    let isQuiet = Bool.random(using: &generator)
    if !isQuiet { await state?.checkLegs() }
    // What was acknowledged after the copy was taken is not the crashed world's promise.
    var copied = crashPoint.disarm()
    if copied == nil { copied = try await snapshot() }
    guard let world = copied else { return }
    let isLater = world.root != fixture.root && acknowledged.count > before.count
    if isLater, let text = acknowledged.last {
      acknowledged = before
      uncertain.insert(text)
    }
    await state?.close()
    state = nil
    fixture = world
    trace.append("crash")
  }

  /// A copy between two steps: on the state's thread nothing else happens meanwhile.
  private func snapshot() async throws -> Fixture {
    let fixture = fixture
    guard let state else { return try fixture.crash() }
    let copy = try await state.attempt { [crashPoint] _ in crashPoint.copy(fixture) }
    guard let copy else { throw WorldError("the legs could not be copied") }
    return copy
  }

  mutating func close() async {
    await state?.close()
    state = nil
    trace.append("close")
  }

  mutating func settle() async {
    guard away.isEmpty, let state else { return }
    await state.checkLegs()
    let isBack = await state.reaches(.inStep, .inStep)
    if !isBack { trace.append("did not settle") }
    trace.append("settle")
  }

  mutating func open() async throws {
    if Bool.random(using: &generator) { await toggleLeg() }
    do {
      state = try await fixture.open { [crashPoint] in
        $0.hook = { _, step in crashPoint.pass(step) }
      }
      trace.append("open")
      try await compare()
    } catch let error as ControlStateError {
      trace.append("refused: \(error)")
      try await refused(error)
    }
  }

  /// A refusal is right only while a leg is away or when acknowledged data would be lost; with both there it must open.
  mutating func refused(_ error: ControlStateError) async throws {
    if away.isEmpty {
      guard case .split = error else { throw WorldError("refused with both legs there: \(error)") }
      throw WorldError("a split without force: \(error)")
    }
    for leg in away { try fixture.bringBack(leg) }
    away = []
    trace.append("all legs back")
  }

  mutating func compare() async throws {
    guard let state else { return }
    let items: [String]
    do { items = try await state.items() } catch { return trace.append("read refused") }
    let present = Set(items)
    if let lost = acknowledged.first(where: { !present.contains($0) }) { throw WorldError("lost \(lost)") }
    let known = Set(acknowledged)
    if let odd = items.first(where: { !known.contains($0) && !uncertain.contains($0) }) {
      throw WorldError("unknown \(odd)")
    }
    // What was seen is there for good, and what was not seen was not done.
    acknowledged = items
    uncertain = []
  }
}

struct WorldError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

@Suite(.timeLimit(.minutes(5)))
struct RandomWorldTests {
  static var seeds: [UInt64] {
    if let seed = ProcessInfo.processInfo.environment["FTVS_SEED"].flatMap(UInt64.init) { return [seed] }
    let count = ProcessInfo.processInfo.environment["FTVS_SEEDS"].flatMap(UInt64.init) ?? 12
    return (1...max(1, count)).map { $0 }
  }

  @Test(arguments: seeds)
  func `nothing acknowledged is ever lost or silently rolled back`(_ seed: UInt64) async throws {
    var world = RandomWorld(seed: seed)
    do {
      for _ in 0..<60 { try await world.step() }
      // In the end everything is repaired: both legs in step, and each holds everything.
      for leg in world.away { try world.fixture.bringBack(leg) }
      world.away = []
      while world.state == nil { try await world.open() }
      for leg in world.away { try world.fixture.bringBack(leg) }
      world.away = []
      await world.settle()
      try await world.compare()
      await world.close()
    } catch {
      Issue.record("seed \(seed): \(error)\n\(world.trace.suffix(20).joined(separator: "\n"))")
      await world.close()
    }
  }
}
