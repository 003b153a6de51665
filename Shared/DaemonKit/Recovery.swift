import ControlState
import Logging
import Primitives
import RPC
import RPCSocket
import ServiceAPI
import ServiceLifecycle
import Synchronization

/// Serves while the state is refused: says why, and waits for the missing leg or for a decision of an administrator.
///
/// The lease stays here meanwhile: the other instance would find the same legs.
struct Recovery: Sendable {
  let serving: ServingService
  let listener: Int32
  private let opening: Opening
  /// Gets the state that an administrator forced.
  private let forced = AsyncStream<ControlState>.makeStream()

  init(serving: ServingService, listener: Int32, refusal: ControlStateError) {
    self.serving = serving
    self.listener = listener
    opening = Opening(refusal)
  }

  private var service: ServiceName { serving.service }
  private var instance: Instance { serving.instance }

  /// The state once it could be opened; nil when the instance is to end instead.
  func run() async throws -> ControlState? {
    await tell(await opening.refusal)
    let server = RPCServer(
      listener: listener, router: router(), policy: await serving.roles.policy(), logger: serving.logger)
    instance.server = server
    defer { instance.server = nil }
    let control = try await withThrowingTaskGroup(of: Ending.self) { group in
      group.addTask {
        try await server.run()
        return .ended
      }
      group.addTask { await waitForState() }
      group.addTask {
        for await control in forced.stream { return .opened(control) }
        return .handOver
      }
      group.addTask {
        try await gracefulShutdown()
        return .handOver
      }
      defer { group.cancelAll() }
      let first = try await group.next()
      // The answer to service.forceLeg is still on its way.
      await server.drain(timeout: DaemonLimits.drainTime)
      switch first {
      case .opened(let control)?: return ControlState?.some(control)
      case .ended?: throw UnexpectedEnd(part: "the server")
      case .handOver?, nil: return nil
      }
    }
    if control != nil { serving.enter(.activating) }
    return control
  }

  private enum Ending: Sendable {
    case opened(ControlState)
    case handOver
    case ended
  }

  /// Tries again and again, until a try or `service.forceLeg` succeeds.
  private func waitForState() async -> Ending {
    while !Task.isCancelled {
      try? await Task.sleep(for: DaemonLimits.recoveryInterval)
      let before = await opening.refusal
      if let control = await opening.open(serving.configuration(), serving.logger) { return .opened(control) }
      let after = await opening.refusal
      if after != before { await tell(after) }
    }
    return .handOver
  }

  private func tell(_ refusal: ControlStateError) async {
    serving.enter(.recovery(problem: refusal.explanation))
    serving.alerts.publish(
      .critical, kind: "serviceInRecovery", subject: service.rawValue,
      message: "\(service.rawValue) does not serve: \(refusal.explanation)",
      data: ["module": .string(instance.module.rawValue)])
  }

  // MARK: Methods

  private func router() -> Router {
    let methods = ServiceMethods(
      instance: instance, alerts: serving.alerts, requests: RequestCounter(), metrics: { [] },
      force: { leg throws(RPCError) in try await force(leg) })
    var router = serving.router(Router(title: "ftvs-\(service.rawValue)", version: Daemon.version), methods)
    let instance = instance
    router.refuseOthers(
      with: RPCError(
        CommonFailure.stateUnavailable, instance.status().problem ?? "The service cannot read its state."))
    return router
  }

  /// Opens from one leg, whatever the records say.
  private func force(_ leg: LegID) async throws(RPCError) -> ServiceStatus {
    let refusal = await opening.refusal
    guard let control = await opening.open(serving.configuration(force: leg), serving.logger) else {
      throw RPCError(
        CommonFailure.stateUnavailable, await opening.refusal.explanation, data: ["leg": .string(leg.rawValue)])
    }
    serving.alerts.publish(
      .critical, kind: "legForced", subject: leg.rawValue,
      message: "An administrator started \(service.rawValue) from leg \(leg.rawValue) alone; what only "
        + "\(leg.other.rawValue) held is given up. It had refused: \(refusal.explanation)",
      data: ["service": .string(service.rawValue), "epoch": .integer(control.epoch)])
    instance.control = control
    serving.enter(.activating)
    forced.continuation.yield(control)
    return instance.status()
  }

  /// One attempt at a time, and none after one succeeded.
  private actor Opening {
    private(set) var refusal: ControlStateError
    private var control: ControlState?
    private var isBusy = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(_ refusal: ControlStateError) { self.refusal = refusal }

    /// The state, if it can be opened now or was before.
    func open(_ configuration: ControlState.Configuration, _ logger: Logger) async -> ControlState? {
      while isBusy { await withCheckedContinuation { waiting.append($0) } }
      if let control { return control }
      isBusy = true
      do throws(ControlStateError) {
        control = try await ControlState.open(configuration, logger: logger)
      } catch {
        refusal = error
      }
      isBusy = false
      for continuation in waiting { continuation.resume() }
      waiting = []
      return control
    }
  }
}
