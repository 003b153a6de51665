import ControlState
import FTVSClient
import Primitives
import RPC
import RPCSocket
import ServiceAPI

/// What an instance is, as `service.status` tells it.
struct InstanceFacts: Sendable {
  var service: ServiceName
  var module: ModuleID
  var role: ServiceRole
  var epoch: Int64
  var activeSinceMilliseconds: Int64
  var problem: String?

  func status(legs: [LegStatus]) -> ServiceStatus {
    ServiceStatus(
      service: service, module: module, role: role, epoch: epoch, activeSinceMilliseconds: activeSinceMilliseconds,
      processID: Int(ProcessFacts.processID), version: DaemonArguments.version, legs: legs, problem: problem)
  }
}

extension Router {
  /// The methods that every active service has.
  mutating func serveCommonMethods(
    _ facts: InstanceFacts, state: ControlState, server: ServerBox,
    metrics: @escaping @Sendable () async -> [Metric]
  ) {
    servePing(facts)
    serve(GetServiceStatus.self) { _, _ throws(RPCError) in facts.status(legs: state.legs()) }
    serve(GetServiceMetrics.self) { _, _ throws(RPCError) in
      let common = ProcessFacts.metrics(connections: server.server?.connectionCount ?? 0)
      return GetServiceMetrics.Result(metrics: common + (await metrics()))
    }
    serve(ForceLeg.self) { _, _ throws(RPCError) in
      throw RPCError(
        CommonFailure.invalidRequest,
        "The service runs and needs no force: service.forceLeg is for one whose status has the role 'recovery'.")
    }
  }

  mutating func servePing(_ facts: InstanceFacts) {
    serve(ServicePing.self) { _, _ throws(RPCError) in
      ServicePing.Result(service: facts.service, module: facts.module, epoch: facts.epoch)
    }
  }
}
