import Synchronization

@testable import BlockLayers

/// Calls on legs, made in the thread that waits for them, those that are under way together in an order that is drawn.
final class SimulatedCallers: LegCallers {
  private struct State {
    var generator: SeededGenerator
    var waiting: [@Sendable () -> Void] = []
  }

  private let state: Mutex<State>

  init(seed: UInt64) { state = Mutex(State(generator: SeededGenerator(seed: seed))) }

  func submit(_ call: @escaping @Sendable () -> Void) { state.withLock { $0.waiting.append(call) } }

  func somebodyWaits() {
    while let call = state.withLock({ state in
      let next = state.waiting.indices.randomElement(using: &state.generator)
      return next.map { state.waiting.remove(at: $0) }
    }) { call() }
  }

  /// Nobody waits for longer than these: a cut looks at many states while a call is under way.
  static func calls(seed: UInt64) -> LegCalls {
    LegCalls(bound: .seconds(86_400), callers: SimulatedCallers(seed: seed))
  }
}
