import FTVSClient

/// Clients that call all services, and a few that call the trivial pair.
final class Load {
  private let clients: [CallingClient]
  private let pairs: [CallingClient]
  /// Acknowledged requests with an effect, by service.
  private(set) var effects: [ServiceName: [Lane.Record]] = [:]

  /// - Parameter name: Tells this load's effects from those of others.
  init(_ name: String, clients: Int, runDirectory: String = "/run/ftvs") {
    self.clients = (0..<clients).map {
      CallingClient(lanes: HostLanes(runDirectory: runDirectory, client: "\(name)-\($0)").make())
    }
    // Seldom: clients of a pair that answers in microseconds would take a processor from the host it is a yardstick for.
    pairs = (0..<2).map { _ in
      CallingClient(
        lanes: [Lane(path: "/run/pair.sock") { Lane.Request(method: "service.ping", params: [:], subject: nil) }],
        pause: .milliseconds(1))
    }
  }

  func start() { for client in clients + pairs { client.start() } }

  /// Ends all of it and notes what was met.
  func finish(into found: inout Measurements, prefix: String) {
    for client in clients {
      for (service, record) in zip(ServiceName.allCases, client.finish()) {
        found.samples["\(prefix)gap.\(service)", default: []] += record.gaps
        found.count("\(prefix)calls", record.calls)
        found.count("\(prefix)cuts", record.cuts)
        found.count("\(prefix)refused", record.refusals)
        found.problems += record.problems.prefix(3).map { "\(service): \($0)" }
        effects[service, default: []].append(record)
      }
    }
    for record in pairs.flatMap({ $0.finish() }) {
      found.samples["\(prefix)gap.pair", default: []] += record.gaps
      found.count("\(prefix)pair.calls", record.calls)
      found.count("\(prefix)pair.refused", record.refusals)
    }
  }
}
