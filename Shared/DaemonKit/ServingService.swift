import ControlState
import FTVSClient
import Glibc
import HostConfiguration
import Logging
import Primitives
import RPC
import RPCSocket
import ServiceAPI
import ServiceLifecycle
import Synchronization
import Systemd

/// The life of an instance: ready and waiting for the lease, then opening the state, serving, and handing over.
///
///     standby ──lease──> activating ──> active ──SIGTERM──> stopping
///                          │   ^
///                 refused  v   │ the leg is back, or service.forceLeg
///                        recovery
struct ServingService: Service {
  typealias Activate = @Sendable (Activation) async throws -> ActiveService

  let description: DaemonDescription
  let process: DaemonProcess
  let instance: Instance
  let alerts: AlertPublisher
  let activate: Activate
  let roles: RoleLookup

  var logger: Logger { process.logger }
  var service: ServiceName { description.service }

  func run() async throws {
    guard let listener = process.listeners[service.rawValue] else {
      throw ActivationError.missing(name: service.rawValue, passed: process.listeners.keys.sorted())
    }
    guard let lease = try await takeLease() else { return handOver() }
    defer { lease.release() }
    let taken = ContinuousClock.now
    // Also while the state is refused: that is what most needs to be told.
    let bus = Host(runDirectory: process.paths.run).alerts
    let sender = Task { await alerts.send(to: bus) }
    defer { sender.cancel() }
    enter(.activating)
    declare(lease)
    guard let control = try await openState(listener) else { return handOver() }
    instance.control = control
    declare(lease)
    do {
      try await serve(control, listener, since: taken)
    } catch {
      await control.close()
      throw error
    }
    await control.close()
  }

  /// The lease; nil when the instance is to end instead.
  ///
  /// Where it is free clients wait already: it is taken at once. Else there is time to rehearse first what a takeover needs,
  /// and to be ready means to have done that; the lease is waited for from the start.
  private func takeLease() async throws -> Lease? {
    if let lease = Lease.takeIfFree(process.paths.lease(service)) {
      becomeReady()
      return lease
    }
    let rehearsal = Task {
      await untilServed()
      try? await Task.sleep(for: DaemonLimits.rehearsalDelay)
      await Rehearsal(description: description, process: process).run()
      guard !Task.isCancelled else { return }
      becomeReady()
      logger.info("Standby: ready, waits for the lease.")
    }
    defer { rehearsal.cancel() }
    let lease = try await waitForLease()
    if lease != nil { becomeReady() }
    return lease
  }

  /// Tells the manager, once: a takeover does not wait for a manager that is busy.
  private func becomeReady() {
    guard instance.becomesReady() else { return }
    let notifier = process.notifier
    guard !notifier.send(.ready, .status(instance.statusLine)), notifier.hasManager else { return }
    // A manager whose queue stays full must hear it all the same: nobody says it again.
    startThread(name: "ftvs-ready") {
      while !notifier.send(.ready) { usleep(100_000) }
    }
  }

  /// Returns when the active instance has opened its state, or after a while: what it does is waited for by clients.
  private func untilServed() async {
    for _ in 0..<DaemonLimits.rehearsalLooks {
      if Lease.holder(path: process.paths.lease(service)).map({ $0.epoch > 0 }) == true { return }
      guard (try? await Task.sleep(for: DaemonLimits.rehearsalPause)) != nil else { return }
    }
  }

  /// The lease, once it is free; nil when the instance is to end instead.
  private func waitForLease() async throws -> Lease? {
    let path = process.paths.lease(service)
    return try await withThrowingTaskGroup(of: Lease?.self) { group in
      group.addTask { try await Lease.take(path) }
      group.addTask {
        try? await gracefulShutdown()
        return nil
      }
      defer { group.cancelAll() }
      let first = try await group.next() ?? nil
      group.cancelAll()
      // The lock may have come at the moment of the end.
      if first == nil, let late = try await group.next() ?? nil { late.release() }
      return first
    }
  }

  private func declare(_ lease: Lease) {
    lease.declare(
      Lease.Holder(module: process.module, processID: Int(ProcessFacts.identifier), epoch: instance.epoch))
  }

  func enter(_ phase: Instance.Phase) {
    instance.phase = phase
    process.notifier.send(.status(instance.statusLine))
  }

  private func handOver() {
    instance.phase = .stopping
    process.notifier.send(.stopping, .status(instance.statusLine))
  }

  // MARK: State

  /// Where the service's state is kept.
  func configuration(force: LegID? = nil) -> ControlState.Configuration {
    let paths = process.paths
    var configuration = ControlState.Configuration(
      service: service,
      legDirectories: Dictionary(uniqueKeysWithValues: LegID.allCases.map { ($0, paths.state(service, on: $0)) }),
      witness: paths.witness(service),
      shotMarks: Dictionary(uniqueKeysWithValues: LegID.allCases.map { ($0, paths.shotMark($0.module)) }),
      migrations: description.migrations, force: force, resyncData: description.resyncData)
    for leg in LegID.allCases {
      configuration.secondDirectories[leg] = paths.secondState(service, on: leg)
      configuration.pathMarks[leg] = [paths.pathMark(leg, 0), paths.pathMark(leg, 1)]
    }
    configuration.legAnswerBound = process.configuration.legAnswerBound
    return configuration
  }

  /// The state, opened; through recovery where it is refused. Nil when the instance is to end instead.
  private func openState(_ listener: Int32) async throws -> ControlState? {
    do throws(ControlStateError) {
      return try await ControlState.open(configuration(), logger: logger)
    } catch {
      let recovery = Recovery(serving: self, listener: listener, refusal: error)
      return try await recovery.run()
    }
  }

  // MARK: Serving

  private func serve(_ control: ControlState, _ listener: Int32, since taken: ContinuousClock.Instant) async throws {
    let active = try await activate(activation(control))
    let methods = ServiceMethods(
      instance: instance, alerts: alerts, requests: RequestCounter(), metrics: active.metrics,
      force: { leg throws(RPCError) in try alreadyActive(leg) })
    let server = RPCServer(
      listener: listener, router: router(active.router, methods), policy: await roles.policy(), logger: logger)
    instance.server = server
    instance.becomeActive()
    try await runUntilHandOver(control, server, active, activation: ContinuousClock.now - taken)
  }

  /// Tells everybody that this instance serves. Clients are accepted by then: they wait, and nobody waits for this.
  private func announce(_ control: ControlState, after activation: Duration) {
    process.notifier.send(.status(instance.statusLine))
    let milliseconds = Int64(activation / .milliseconds(1))
    logger.notice("Active.", metadata: ["epoch": "\(control.epoch)", "activationMilliseconds": "\(milliseconds)"])
    alerts.publish(
      .info, kind: "serviceActive", subject: service.rawValue,
      message: "\(service.rawValue) is served from \(process.module.rawValue).",
      data: [
        "module": .string(process.module.rawValue), "epoch": .integer(control.epoch),
        "activationMilliseconds": .integer(milliseconds),
      ])
  }

  private func activation(_ control: ControlState) -> Activation {
    Activation(
      module: process.module, configuration: process.configuration, paths: process.paths, state: control,
      alerts: alerts, host: Host(runDirectory: process.paths.run),
      listeners: process.listeners.filter { $0.key != service.rawValue }, logger: logger, epoch: control.epoch)
  }

  func router(_ router: Router, _ methods: ServiceMethods) -> Router {
    var router = router
    methods.add(to: &router)
    let requests = methods.requests
    router.observer = { _ in requests.countOne() }
    return router
  }

  /// `service.forceLeg` of a service that serves: nothing to do where the leg is in step.
  private func alreadyActive(_ leg: LegID) throws(RPCError) -> ServiceStatus {
    let status = instance.status()
    if status.legs.contains(where: { $0.leg == leg && $0.state == .inStep }) { return status }
    throw RPCError(
      CommonFailure.invalidParams,
      "\(service.rawValue) serves already, from the other leg; \(leg.rawValue) is brought up to date by itself once it is "
        + "reachable. Forcing is only for a service in recovery.", data: ["leg": .string(leg.rawValue)])
  }

  /// Runs everything until one part ends unexpectedly, which is thrown, or the instance is to hand over.
  private func runUntilHandOver(
    _ control: ControlState, _ server: RPCServer, _ active: ActiveService, activation: Duration
  ) async throws {
    let legs = LegAlerts(service: service, alerts: alerts)
    try await withThrowingTaskGroup(of: Ending.self) { group in
      group.addTask {
        try await server.run()
        return .ended("the server")
      }
      announce(control, after: activation)
      for task in active.tasks {
        group.addTask {
          try await task()
          return .ended("a task of the service")
        }
      }
      // A service that keeps more than its state on the legs tells of them itself, with what that means.
      if description.resyncData == nil {
        group.addTask {
          await legs.follow(control)
          return .ended("the watch over the legs")
        }
      }
      group.addTask {
        try await gracefulShutdown()
        return .handOver
      }
      defer { group.cancelAll() }
      switch try await group.next() {
      case .handOver?:
        await drain(server, active)
        await alerts.flush()
      case .ended(let part)?: throw UnexpectedEnd(part: part)
      case nil: break
      }
    }
  }

  private enum Ending: Sendable {
    case handOver
    case ended(String)
  }

  /// Stops accepting, so that new clients wait for the other instance, and lets finish what was begun.
  private func drain(_ server: RPCServer, _ active: ActiveService) async {
    handOver()
    logger.info("Hands over.")
    await withTaskGroup(of: Bool.self) { group in
      group.addTask {
        async let requests: Void = server.drain(timeout: DaemonLimits.drainTime)
        async let rest: Void = active.drain()
        _ = await (requests, rest)
        return true
      }
      group.addTask {
        try? await Task.sleep(for: DaemonLimits.drainTime)
        return false
      }
      if await group.next() == false { logger.warning("Not everything was finished in time before the hand-over.") }
      group.cancelAll()
    }
  }
}

/// A part of a daemon that must go on ended; the process ends too, and is started anew.
struct UnexpectedEnd: Error, Equatable, CustomStringConvertible {
  var part: String

  var description: String { "\(part) ended unexpectedly" }
}
