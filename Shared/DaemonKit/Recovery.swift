import ControlState
import Logging
import Primitives
import RPC
import RPCSocket
import ServiceAPI
import ServiceLifecycle
import Synchronization

/// An instance that holds the lease but cannot open its state: it says why, and waits for a decision or for a leg.
struct Recovery: Sendable {
  /// What to do next.
  enum Decision: Sendable, Equatable {
    case force(LegID)
    case again
    case end
  }

  /// Time between two tries to open the state anew: a leg may have come back.
  static let interval = Duration.milliseconds(500)

  let instance: Instance
  let reason: ControlStateError

  func run() async throws -> Decision {
    let decided = AsyncStream<Decision>.makeStream()
    let rpc = RPCServer(
      listener: instance.ownListener, router: router(decided.continuation), policy: instance.policy,
      logger: instance.logger)
    instance.server.server = rpc
    return try await withGracefulShutdownHandler {
      try await withThrowingTaskGroup(of: Decision.self) { group in
        group.addTask {
          try await rpc.run()
          return .end
        }
        group.addTask {
          for await decision in decided.stream { return decision }
          return .end
        }
        group.addTask {
          try await Task.sleep(for: Self.interval)
          return .again
        }
        let decision = try await group.next() ?? .end
        // The one who decided gets the answer before the server goes.
        await rpc.drain(timeout: .seconds(1))
        group.cancelAll()
        return Task.isShuttingDownGracefully ? .end : decision
      }
    } onGracefulShutdown: {
      decided.continuation.yield(.end)
    }
  }

  private func router(_ decided: AsyncStream<Decision>.Continuation) -> Router {
    let facts = InstanceFacts(
      service: instance.description.service, module: instance.process.module, role: .recovery, epoch: 0,
      activeSinceMilliseconds: wallClockMilliseconds(), problem: reason.explanation)
    var router = Router(title: "ftvs-\(facts.service.rawValue)", version: DaemonArguments.version)
    router.servePing(facts)
    router.serve(GetServiceStatus.self) { _, _ throws(RPCError) in facts.status(legs: []) }
    router.serve(GetServiceMetrics.self) { _, _ throws(RPCError) in
      GetServiceMetrics.Result(metrics: ProcessFacts.metrics(connections: 0))
    }
    let reason = reason
    let logger = instance.logger
    router.serve(ForceLeg.self) { params, context throws(RPCError) in
      guard reason.isForceable else {
        throw RPCError(CommonFailure.stateUnavailable, "Force does not help here. \(reason.explanation)")
      }
      logger.critical(
        "User \(context.caller.userID) forces the start from \(params.leg.rawValue).",
        metadata: ["leg": "\(params.leg.rawValue)"])
      decided.yield(.force(params.leg))
      return facts.status(legs: [])
    }
    router.refuseOthers(with: RPCError(CommonFailure.stateUnavailable, reason.explanation))
    return router
  }
}
