import Primitives
import UnitManager
import VMMonitorCore

/// An engine without processes: what `FakeHost` says of them is so.
struct FakeEngine: VMEngine {
  let host: FakeHost
  let life: Life

  private func unit(_ slot: Int, _ module: ModuleID) -> String { "ftvs-guest-\(module.rawValue)@\(slot).service" }

  func prepare(_ plan: GuestPlan) async throws(EngineError) {
    await life.enter("prepare")
    host.state.withLock { $0.plans[unit(plan.slot, plan.module)] = plan }
  }

  func attach(
    slot: Int, module: ModuleID, patience: Duration, answerTime: Duration
  ) async throws(EngineError) -> any VMInstance {
    let unit = unit(slot, module)
    await life.enter("attach \(unit)")
    let instance = FakeInstance(host: host, life: life, unit: unit)
    let isAnswering = host.state.withLock { state in
      let isAccelerated = state.plans[unit].map { !$0.domain.isEmulated } ?? false
      if state.isAcceleratorBroken, isAccelerated {
        state.processes[unit] = nil
        state.results[unit] = "core-dump"
      }
      guard state.processes[unit]?.isAnswering == true else { return false }
      state.instances[unit, default: []].append(.init(instance: instance))
      return true
    }
    guard isAnswering else {
      if host.state.withLock({ $0.processes[unit]?.isLeaving }) == true { try? await Task.sleep(for: patience) }
      throw .notAnswering("test")
    }
    return instance
  }

  var mayEmulate: Bool { true }

  func endedInOrder(slot: Int, module: ModuleID) async -> Bool {
    await life.enter("endedInOrder")
    return host.state.withLock { $0.endedInOrder.contains(unit(slot, module)) }
  }
}

final class FakeInstance: VMInstance {
  let engine = "scripted"
  let events: AsyncStream<EngineEvent>
  let source: AsyncStream<EngineEvent>.Continuation
  private let host: FakeHost
  private let life: Life
  private let unit: String

  init(host: FakeHost, life: Life, unit: String) {
    self.host = host
    self.life = life
    self.unit = unit
    (events, source) = AsyncStream.makeStream()
  }

  func status() async throws(EngineError) -> EngineStatus {
    await life.enter("query \(unit)")
    guard let status = host.state.withLock({ $0.processes[unit]?.status }) else { throw .notAnswering("gone") }
    return status
  }

  func resume() async throws(EngineError) {
    await life.enter("resume \(unit)")
    let isAlive = host.state.withLock { state in
      guard let process = state.processes[unit] else { return false }
      for (volume, generation) in process.generations where state.generations[volume, default: 1] != generation {
        state.violations.append("runs on a fenced disk: \(unit)")
      }
      state.processes[unit]?.status = .running
      return true
    }
    guard isAlive else { throw .notAnswering("gone") }
    source.yield(.resumed)
  }

  func setMemory(bytes: Int64) async throws(EngineError) { await life.enter("setMemory \(unit) \(bytes)") }

  func powerDown() async throws(EngineError) {
    await life.enter("powerDown \(unit)")
    guard host.state.withLock({ $0.processes[unit]?.isAnswering }) == true else { throw .notAnswering("gone") }
    host.end(unit, result: "success", inOrder: true)
  }

  func close() { source.finish() }
}
