import AlertAPI
import ControlState
import FTVSClient
import HostConfiguration
import Logging
import Primitives
import RPC
import RPCSocket
import ServiceAPI
import ServiceLifecycle
import Systemd

/// One instance of a service, from its start to its end: standby, then active, or in recovery until its state opens.
struct Instance: Service {
  let description: DaemonDescription
  let process: DaemonProcess
  let listeners: [String: Int32]
  let server: ServerBox
  let logger: Logger
  let activate: @Sendable (Activation) async throws -> ActiveService

  /// How long requests in flight may take to finish at a hand-over.
  static let drainTimeout = Duration.seconds(4)

  func run() async throws {
    let notifier = process.notifier
    notifier.send(.ready, .status("standby on \(process.module.rawValue)"))
    // A standby that is told to end has nothing to finish: the waiting thread ends with the process.
    let lease = try await cancelWhenGracefulShutdown { try await waitForLease() }
    guard let lease else { return }
    notifier.send(.status("taking over on \(process.module.rawValue)"))
    var force: LegID?
    while true {
      do throws(ControlStateError) {
        let state = try await ControlState.open(configuration(force), logger: logger)
        try await serve(state, forced: force)
        break
      } catch {
        logger.error("Not serving: \(error.explanation)")
        notifier.send(.status("not serving: \(error.explanation)"))
        switch try await Recovery(instance: self, reason: error).run() {
        case .force(let leg): force = leg
        case .again: break
        case .end: return
        }
      }
    }
    withExtendedLifetime(lease) {}
  }

  private func waitForLease() async throws -> Lease? {
    let path = process.paths.lease(description.service)
    let holder = Lease.Holder(module: process.module, processID: Int(ProcessFacts.processID))
    return try await firstOf {
      try await Lease.acquire(path: path, holder: holder)
    }
  }

  private func configuration(_ force: LegID?) -> ControlState.Configuration {
    let paths = process.paths
    let service = description.service
    return ControlState.Configuration(
      service: service,
      legDirectories: Dictionary(uniqueKeysWithValues: LegID.allCases.map { ($0, paths.state(service, on: $0)) }),
      witness: paths.witness(service),
      shotMarks: Dictionary(uniqueKeysWithValues: LegID.allCases.map { ($0, paths.shotMark($0.module)) }),
      migrations: description.migrations, force: force, resyncData: description.resyncData)
  }

  var policy: RolePolicy {
    // In a lab all processes are one user's, who may do everything there.
    process.configuration.labSocket == nil ? .groups() : .sameUserIsEverything()
  }

  /// Serves until a graceful shutdown; throws when anything ends that should not.
  private func serve(_ state: ControlState, forced: LegID?) async throws(ControlStateError) {
    do {
      let host = Host(runDirectory: process.paths.run)
      let alerts = AlertPublisher(
        service: description.service, directory: process.paths.spool(description.service), caller: host.alerts,
        logger: logger)
      if let forced { publishForced(forced, alerts) }
      let activation = Activation(
        module: process.module, configuration: process.configuration, paths: process.paths, state: state,
        alerts: alerts, host: host, listeners: listeners.filter { $0.key != description.service.rawValue },
        logger: logger, epoch: state.epoch)
      let service = try await activate(activation)
      try await run(service, state: state, alerts: alerts)
    } catch let error as ControlStateError {
      throw error
    } catch {
      logger.critical("The service ends: \(error)")
      // Half dead is dead: the other instance takes over, and systemd starts this one anew.
      exitNow()
    }
  }

  private func run(_ service: ActiveService, state: ControlState, alerts: AlertPublisher) async throws {
    let facts = InstanceFacts(
      service: description.service, module: process.module, role: .active, epoch: state.epoch,
      activeSinceMilliseconds: wallClockMilliseconds(), problem: nil)
    var router = service.router
    router.serveCommonMethods(facts, state: state, server: server, metrics: service.metrics)
    let rpc = RPCServer(listener: ownListener, router: router, policy: policy, logger: logger)
    server.server = rpc
    process.notifier.send(.status("active on \(process.module.rawValue), epoch \(state.epoch)"))
    logger.notice("Active on \(process.module.rawValue), epoch \(state.epoch).")
    try await withGracefulShutdownHandler {
      try await withThrowingTaskGroup(of: Ended.self) { group in
        group.addTask {
          try await rpc.run()
          return .server
        }
        group.addTask {
          await alerts.run()
          return .background
        }
        for task in service.tasks {
          group.addTask {
            try await task()
            return .background
          }
        }
        // The server ends when it was drained; anything else that ends is a fault.
        guard let first = try await group.next(), first == .server, Task.isShuttingDownGracefully else {
          throw Fault(description: "A part of the service ended although nobody asked for it.")
        }
        await service.drain()
        group.cancelAll()
      }
    } onGracefulShutdown: {
      process.notifier.send(.stopping, .status("handing over"))
      Task { await rpc.drain(timeout: Self.drainTimeout) }
    }
    await state.close()
  }

  private enum Ended: Sendable { case server, background }

  var ownListener: Int32 { listeners[description.service.rawValue] ?? -1 }

  private func publishForced(_ leg: LegID, _ alerts: AlertPublisher) {
    alerts.publish(
      .critical, kind: "legForced", subject: leg.rawValue,
      message:
        "The state of \(description.service.rawValue) was started from \(leg.rawValue) by force; what only the other leg held is given up.",
      data: ["leg": .string(leg.rawValue)])
  }
}

/// A part ended that should not have.
struct Fault: Error, CustomStringConvertible {
  let description: String
}
