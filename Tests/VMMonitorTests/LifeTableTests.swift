import Primitives
import RPC
import Testing
import VMAPI

@testable import VMMonitorCore

/// Goes over the whole table: every operation in every state, asked for as callers do.
@Suite(.timeLimit(.minutes(2))) struct LifeTableTests {
  private let name = VMName(unchecked: "a")

  @Test func whatTheTableRefusesIsRefusedWithTheWayOut() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    try await monitor.define(Bench.definition())
    for state in VMState.allCases {
      try await monitor.monitor.pretend(name, to: state)
      for operation in LifeTable.Operation.allCases {
        guard case .refused(let remedy) = LifeTable.outcome(of: operation, in: state) else { continue }
        let error = try await #require(throws: RPCError.self, "\(operation) when \(state)") {
          try await ask(operation, monitor)
        }
        #expect(error.matches(VMFailure.wrongState), "\(operation) when \(state): \(error)")
        #expect(error.data["state"] == .string(state.rawValue))
        #expect(error.message == LifeTable.sentence(name, state, remedy))
        #expect(error.message.contains("ftctl vm "))
        #expect(try await monitor.show().state == state, "\(operation) when \(state)")
      }
    }
    #expect(bench.host.running.isEmpty)
  }

  @Test func whatIsSoAlreadyChangesNothing() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    try await monitor.define(Bench.definition())
    for state in VMState.allCases {
      for operation in LifeTable.Operation.allCases
      where LifeTable.outcome(of: operation, in: state) == .already && !waits(operation, state) {
        try await monitor.monitor.pretend(name, to: state)
        try await ask(operation, monitor)
        #expect(try await monitor.show().state == state, "\(operation) when \(state)")
      }
    }
    #expect(bench.host.running.isEmpty)
  }

  /// A start waits for one that is under way.
  private func waits(_ operation: LifeTable.Operation, _ state: VMState) -> Bool {
    operation == .start && (state == .starting || state == .failedOver)
  }

  @Test func aRemedyLeadsToWhatWasRefused() {
    let steps: [LifeTable.Remedy: LifeTable.Operation] = [
      .start: .start, .resume: .resume, .shutDown: .kill, .wait: .kill, .discard: .discardSaved, .release: .release,
    ]
    for operation in LifeTable.Operation.allCases {
      for state in VMState.allCases {
        guard case .refused(let remedy) = LifeTable.outcome(of: operation, in: state) else { continue }
        guard let step = steps[remedy], case .leads(let next?) = LifeTable.outcome(of: step, in: state) else {
          Issue.record("\(operation) when \(state): the way out is none")
          continue
        }
        // What is ended at once can be started; everything else comes to what was asked for in a step.
        if remedy == .wait { continue }
        if case .refused(.start) = LifeTable.outcome(of: operation, in: next), remedy == .release { continue }
        guard case .refused = LifeTable.outcome(of: operation, in: next) else { continue }
        Issue.record("\(operation) when \(state): still refused in \(next)")
      }
    }
  }

  private func ask(_ operation: LifeTable.Operation, _ monitor: RunningMonitor) async throws {
    let client = monitor.client
    switch operation {
    case .start: try await monitor.start()
    case .shutDown: _ = try await client.call(ShutDownVM.self, .init(name: name))
    case .kill: _ = try await client.call(KillVM.self, .init(name: name))
    case .pause: _ = try await client.call(PauseVM.self, .init(name: name))
    case .resume: _ = try await client.call(ResumeVM.self, .init(name: name))
    case .reset: _ = try await client.call(ResetVM.self, .init(name: name))
    case .interrupt: _ = try await client.call(InterruptVM.self, .init(name: name))
    case .screenshot: _ = try await client.call(GetScreenshot.self, .init(name: name))
    case .sendKeys: _ = try await client.call(SendKeys.self, .init(name: name, keys: ["ctrl"]))
    case .askAgent: _ = try await client.call(ThawVM.self, .init(name: name))
    case .save: _ = try await client.call(SaveVM.self, .init(name: name))
    case .discardSaved: _ = try await client.call(DiscardSavedVM.self, .init(name: name))
    case .release: _ = try await client.call(ReleaseVM.self, .init(name: name))
    case .redefine: try await monitor.define(Bench.definition())
    case .decideUndo: _ = try await client.call(DecideUndo.self, .init(name: name, action: .keep))
    case .undefine: _ = try await client.call(UndefineVM.self, .init(name: name))
    }
  }
}

extension VMMonitor {
  /// Has a machine's record say that it is in a state, without a process.
  func pretend(_ name: VMName, to state: VMState) async throws {
    try await commit(name) { record in
      record.isHeld = state == .paused
      record.module = nil
      record.failedMilliseconds = state == .failedOver ? 1 : nil
      record.phase =
        switch state {
        case .defined: .off
        case .starting: .starting
        case .running, .paused: .running
        case .saving: .saving
        case .saved: .saved
        case .stopping: .stopping
        case .failedOver: .recovering
        case .crashed: .crashed
        case .quarantined: .quarantined
        }
    }
  }
}
