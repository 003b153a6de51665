import HardwareAPI
import Primitives
import RPC
import Testing

@testable import HardwareSupervisorCore

/// SplitMix64: a seed replays a walk.
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

@MainActor @Suite struct RandomWalkTests {
  /// Permitted faults: loss of either module or both, death of the supervisor or of an agent, silence of an agent for
  /// up to 300 ms, legs lost and found, any command without force. The simulated host checks at every step that never
  /// both CPU modules are shot, and at every kill that the partner is not.
  @Test(arguments: Array(1...20) as [UInt64])
  func whateverHappensTheHostComesBack(_ seed: UInt64) async throws {
    var random = SeededGenerator(state: seed)
    let host = try SimulatedHost()
    try await host.becomesDuplex()
    for _ in 0..<40 {
      try await disturb(host, &random)
      try await host.pass(milliseconds: Int.random(in: 5...400, using: &random))
    }
    host.silent = []
    host.legs.set(.io0, .inStep)
    host.legs.set(.io1, .inStep)
    for module in ModuleID.allCases {
      try await host.until("\(module) at rest") { await $0.supervisor?.records[module]?.task == ModuleTask.none }
      _ = try await host.command(.insert, module)
      _ = try await host.command(.online, module)
    }
    try await host.becomesDuplex()
    await host.remove()
  }

  private func disturb(_ host: SimulatedHost, _ random: inout SeededGenerator) async throws {
    let cpu: ModuleID = Bool.random(using: &random) ? .cpu0 : .cpu1
    switch Int.random(in: 0..<10, using: &random) {
    case 0: host.lose(cpu)
    case 1:
      host.lose(.cpu0)
      host.lose(.cpu1)
    case 2: host.killSupervisor()
    case 3: host.units.die(["ftvs-module@\(cpu).service"])
    case 4: host.silent = host.silent.isEmpty ? [cpu] : []
    case 5: host.nextLife = Int.random(in: 0..<80, using: &random)
    case 6:
      let state: [LegID: LegID] = [.io0: .io1, .io1: .io0]
      let leg: LegID = Bool.random(using: &random) ? .io0 : .io1
      host.legs.set(leg, Bool.random(using: &random) ? .lost : .inStep)
      if let other = state[leg] { host.legs.set(other, .inStep) }
    default:
      guard let command = ModuleCommand.allCases.randomElement(using: &random),
        let module = ModuleID.allCases.randomElement(using: &random)
      else { return }
      let answer = try await host.command(command, module)
      if case .success(let status) = answer { check(status, command) }
    }
  }

  /// Every command that is accepted is reflected in its answer.
  private func check(_ status: ModuleStatus, _ command: ModuleCommand) {
    let expected: Set<ModuleState> =
      switch command {
      case .offline, .insert: [.offline]
      case .fail: [.broken]
      case .remove: [.removed]
      case .online: [.initializing, .diagnostics, .diagnosticsPassed, .syncing, .online, .broken, .shot]
      }
    #expect(expected.contains(status.state), "\(command) was accepted and the module is \(status.state)")
  }
}
