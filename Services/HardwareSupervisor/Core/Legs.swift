import HardwareAPI
import Primitives
import RPC
import ServiceAPI

/// A leg as one service sees it; nil when the service does not answer.
struct LegView: Sendable {
  let service: ServiceName
  let status: LegStatus?
}

extension HardwareSupervisor {
  /// An I/O module's leg as each service sees it.
  func views(of module: ModuleID) async -> [LegView] {
    var answers: [ServiceName: [LegStatus]] = [.hardware: state.legs()]
    let probe = around.legs
    await withTaskGroup(of: (ServiceName, [LegStatus]?).self) { group in
      for service in ServiceName.allCases where service != .hardware {
        group.addTask { (service, await probe.legs(of: service)) }
      }
      for await (service, legs) in group { answers[service] = legs }
    }
    return ServiceName.allCases.map { service in
      LegView(service: service, status: answers[service]?.first { $0.leg.module == module })
    }
  }

  /// Has every service take back legs that are there again, at once.
  func haveLegsChecked() async {
    let probe = around.legs
    await withTaskGroup(of: Void.self) { group in
      for service in ServiceName.allCases where service != .hardware {
        group.addTask { await probe.check(by: service) }
      }
      await state.checkLegs()
    }
  }

  /// Looks now and then how the services see the legs in service.
  func watchLegs() async {
    while !isStopped, !Task.isCancelled {
      await pause(limits.legWatch)
      await examineLegs()
    }
  }

  /// Looks at once when the supervisor's own state loses or regains a leg.
  func followOwnLegs() async {
    for await _ in state.legChanges() {
      if isStopped || Task.isCancelled { return }
      await examineLegs()
    }
  }

  /// Brings the states of I/O modules in line with legs that were lost, or came back, by themselves.
  func examineLegs(of modules: [ModuleID] = ModuleID.all(of: .io)) async {
    for module in modules {
      guard let record = records[module], record.task == .none, isWatched(record) else { continue }
      let revision = revisions[module, default: 0]
      let views = await views(of: module).filter { $0.status != nil }
      guard isCurrent(module, revision) else { continue }
      _ = try? await commit { draft throws(RPCError) in
        guard isCurrent(module, revision) else { return }
        draft.see(module, views)
      }
      kick(module)
    }
  }

  private func isWatched(_ record: ModuleRecord) -> Bool {
    record.state == .online || (record.state == .broken && !record.stays)
  }
}

extension Draft {
  /// Takes in how the services that answer see an I/O module's leg.
  mutating func see(_ module: ModuleID, _ views: [LegView]) {
    let lost = views.first { $0.status?.state == .lost }
    switch records[module]?.state {
    case .online:
      if let lost {
        let why = lost.status?.reason ?? "it cannot be reached"
        guard follow(module, .failed, reason: "\(lost.service.rawValue) lost its leg: \(why)") else { return }
        records[module]?.failures += 1
        records[module]?.stays = false
        alert(
          .error, "moduleFailed", module,
          "\(module.rawValue) failed: \(lost.service.rawValue) lost its leg there: \(why)",
          ["cause": "legLost", "service": .string(lost.service.rawValue), "injected": false])
      } else if let behind = views.first(where: { $0.status?.state != .inStep }) {
        follow(module, .outOfStep, reason: "\(behind.service.rawValue) brings its leg in step.", task: .start)
      }
    case .broken:
      guard lost == nil, views.count == ServiceName.allCases.count,
        views.allSatisfy({ $0.status?.state == .inStep || $0.status?.state == .resyncing })
      else { return }
      follow(module, .joining, reason: "Its leg is back.", task: .start)
    default: break
    }
  }
}
