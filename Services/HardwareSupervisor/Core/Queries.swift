import HardwareAPI
import Primitives
import RPC
import ServiceAPI
import UnitManager

extension HardwareSupervisor {
  /// A module as it is now.
  func status(of module: ModuleID) -> ModuleStatus {
    guard let record = records[module] else {
      return ModuleStatus(
        module: module, kind: module.kind, state: .unknown, sinceMilliseconds: 0, failures: 0)
    }
    let age = agents[module].flatMap { $0.isAttached ? silence(module) / 1_000_000 : nil }
    return ModuleStatus(
      module: module, kind: module.kind, state: record.state, reason: progress[module] ?? record.reason,
      sinceMilliseconds: record.sinceMilliseconds, failures: record.failures,
      heartbeatAgeMilliseconds: age.map { Int($0) },
      nextStep: nextStep(record, partner: records[module.partner]))
  }

  /// All modules and pairs.
  public func modules() -> ModuleList {
    ModuleList(
      modules: ModuleID.allCases.map(status(of:)),
      pairs: ModuleID.Kind.allCases.map { PairStatus(kind: $0, state: pairState($0, records)) })
  }

  /// Where every service runs.
  public func services() async -> [ServicePlacement] {
    var placements: [ServicePlacement] = []
    for service in ServiceName.allCases {
      let holder = await around.leases.holder(of: service)
      var instances: [ServiceInstance] = []
      for module in ModuleID.all(of: .cpu) {
        let status = try? await units.status(UnitNames.service(service, on: module))
        instances.append(Self.instance(on: module, status, holder: holder))
      }
      placements.append(ServicePlacement(service: service, instances: instances))
    }
    return placements
  }

  private static func instance(on module: ModuleID, _ status: UnitStatus?, holder: Int32?) -> ServiceInstance {
    let process = status?.mainProcessID.flatMap { $0 > 0 ? $0 : nil }
    let state: InstanceState =
      switch status?.activeState {
      case .active, .activating: process != nil && process == holder ? .active : isReady(status) ? .standby : .starting
      case .deactivating: process != nil && process == holder ? .active : .down
      default: .down
      }
    return ServiceInstance(module: module, state: state, processID: process.map { Int($0) })
  }

  private static func isReady(_ status: UnitStatus?) -> Bool { status?.activeState == .active }

  /// The CPU module on which something new should run.
  ///
  /// - Throws: `noModuleInService`.
  public func place(prefer: ModuleID?, exclude: [ModuleID]) async throws(RPCError) -> ModuleID {
    let candidates = ModuleID.all(of: .cpu).filter { !exclude.contains($0) }
    let online = candidates.filter { records[$0]?.state == .online && suspects[$0] == nil }
    if let module = online.first(where: { $0 == prefer }) ?? online.first { return module }
    // While the last module starts again in place, what runs there is the best there is.
    let starting = candidates.filter { module in records[module].map { ModuleTransitions.isUp($0.state) } ?? false }
    for module in starting.sorted(by: { a, _ in a == prefer }) {
      let status = try? await units.status(UnitNames.service(.vm, on: module))
      if status?.activeState == .active { return module }
    }
    throw RPCError(
      HardwareFailure.noModuleInService,
      "No CPU module that may be taken is in service. 'ftctl status' shows what each waits for.",
      data: [
        "exclude": .array(exclude.map { .string($0.rawValue) }),
        "states": .object(states()),
      ])
  }

  private func states() -> JSONObject {
    var object = JSONObject()
    for module in ModuleID.all(of: .cpu) {
      object[module.rawValue] = .string((records[module]?.state ?? .unknown).rawValue)
    }
    return object
  }

  /// Figures for monitoring.
  public func metrics() -> [Metric] {
    var metrics = ModuleID.allCases.flatMap { module -> [Metric] in
      let labels = ["module": module.rawValue]
      let record = records[module]
      return [
        Metric(
          name: "moduleInService", summary: "1 while the module is online.",
          value: record?.state == .online ? 1 : 0, labels: labels),
        Metric(
          name: "moduleFailures", summary: "Failures counted since the host was set up.",
          value: Double(record?.failures ?? 0), labels: labels),
      ]
    }
    for (module, agent) in agents where agent.isAttached {
      metrics.append(
        Metric(
          name: "heartbeatAgeMilliseconds", summary: "Time since the module's agent was last heard.",
          value: Double(silence(module)) / 1_000_000, labels: ["module": module.rawValue]))
    }
    metrics.append(
      Metric(
        name: "missedHeartbeats", summary: "Bounds that agents missed since this instance became active.",
        value: Double(missedHeartbeats), labels: [:]))
    return metrics
  }
}
