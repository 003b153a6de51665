import Primitives
import RPC
import ServiceAPI

/// The methods that every service has.
struct ServiceMethods: Sendable {
  let instance: Instance
  let alerts: AlertPublisher
  let requests: RequestCounter
  /// Measured values of the service itself.
  let metrics: @Sendable () async -> [Metric]
  /// Starts the service from one leg; only while it refuses to serve.
  let force: @Sendable (LegID) async throws(RPCError) -> ServiceStatus

  /// Adds them to a router.
  func add(to router: inout Router) {
    router.serve(ServicePing.self) { _, _ throws(RPCError) in
      ServicePing.Result(service: instance.service, module: instance.module, epoch: instance.epoch)
    }
    router.serve(GetServiceStatus.self) { _, _ throws(RPCError) in instance.status() }
    router.serve(GetServiceMetrics.self) { _, _ throws(RPCError) in
      GetServiceMetrics.Result(metrics: ownMetrics() + (await metrics()))
    }
    router.serve(CheckLegs.self) { _, _ throws(RPCError) in
      await instance.control?.checkLegs()
      return instance.status()
    }
    router.serve(ForceLeg.self) { params, _ throws(RPCError) in try await force(params.leg) }
  }

  private func ownMetrics() -> [Metric] {
    func metric(_ name: String, _ summary: String, _ value: Double) -> Metric {
      Metric(name: name, summary: summary, value: value, labels: [:])
    }
    let status = instance.status()
    let server = instance.server
    return [
      metric("requests", "Requests that were received since this instance became active.", Double(requests.count)),
      metric("connections", "Connections that are open.", Double(server?.connectionCount ?? 0)),
      metric("residentMemoryBytes", "Memory that is resident now.", Double(ProcessFacts.residentBytes)),
      metric(
        "processorTimeSeconds", "Processor time of all threads since the process started.",
        ProcessFacts.processorSeconds),
      metric("openDescriptors", "Descriptors that are open.", Double(ProcessFacts.openDescriptors)),
      metric("alertsSpooled", "Alerts that the alert bus does not have yet.", Double(alerts.spooledCount)),
      metric("epoch", "Number of times that the lease was taken since the host was set up.", Double(status.epoch)),
      metric(
        "legsInStep", "Legs that hold all that was acknowledged.",
        Double(status.legs.count { $0.state == .inStep })),
    ]
  }
}
