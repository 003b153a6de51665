import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// `ftctl service …`
struct ServiceCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "service",
    abstract: "The services themselves: who serves, how they are.",
    subcommands: [Status.self, Ping.self, Metrics.self, Force.self])

  struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Tells which instance serves, and how its state is kept.")
    @Argument(help: "hardware, vm, storage or alerts.") var service: ServiceName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(GetServiceStatus.self, Nothing(), on: Socket(service)) {
          ServiceText.detail($0, .current, .standard)
        }
      }
    }
  }

  struct Ping: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Asks a service for a sign of life.")
    @Argument(help: "hardware, vm, storage or alerts.") var service: ServiceName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        let begin = ContinuousClock.now
        try await session.show(ServicePing.self, Nothing(), on: Socket(service)) {
          let time = Double((ContinuousClock.now - begin).components.attoseconds) / 1e15
          return "\($0.service.rawValue) answers from \($0.module.rawValue), epoch \($0.epoch): "
            + "\(Sizes.oneDecimal(time)) ms"
        }
      }
    }
  }

  struct Metrics: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Prints the measured values of a service.")
    @Argument(help: "hardware, vm, storage or alerts.") var service: ServiceName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(GetServiceMetrics.self, Nothing(), on: Socket(service)) {
          ServiceText.metrics($0.metrics, .standard)
        }
      }
    }
  }

  struct Force: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "force-leg",
      abstract: "Starts a service in recovery from one leg alone.",
      discussion: """
        Gives up what only the other leg holds. "ftctl service status" says why the service waits for a decision.
        """)
    @Argument(help: "hardware, vm, storage or alerts.") var service: ServiceName
    @Argument(help: "io0 or io1: the leg whose data is taken as right.") var leg: LegID
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(ForceLeg.self, .init(leg: leg), on: Socket(service)) {
          ServiceText.detail($0, .current, .standard)
        }
      }
    }
  }
}

/// Services as text.
enum ServiceText {
  static func detail(_ status: ServiceStatus, _ times: Times, _ style: Style) -> String {
    var table = Table(["", ""])
    table.add(["Service", Table.Cell(status.service.rawValue)])
    table.add(["Module", Table.Cell(status.module.rawValue)])
    table.add(["Role", Table.Cell(status.role.rawValue, status.role == .active ? .green : .red)])
    if let problem = status.problem { table.add(["Problem", Table.Cell(problem, .red)]) }
    table.add([
      "Active since",
      Table.Cell("\(times.clock(status.activeSinceMilliseconds)), \(times.since(status.activeSinceMilliseconds))"),
    ])
    table.add(["Epoch", "\(status.epoch)"])
    table.add(["Process", "\(status.processID)"])
    table.add(["Version", Table.Cell(status.version)])
    for leg in status.legs {
      let isGood = leg.state == .inStep
      table.add([
        "State on \(leg.leg.rawValue)",
        Table.Cell(
          Words.spaced(leg.state.rawValue) + (leg.reason.map { ": \($0)" } ?? ""), isGood ? .green : .yellow),
      ])
    }
    return table.text(style)
  }

  static func metrics(_ metrics: [Metric], _ style: Style) -> String {
    if metrics.isEmpty { return "No values." }
    var table = Table(["NAME", "VALUE", "OF", "MEANING"], right: [1])
    for metric in metrics {
      let labels = metric.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
      table.add([
        Table.Cell(metric.name), Table.Cell(number(metric.value)), Table.Cell(labels), Table.Cell(metric.summary),
      ])
    }
    return table.text(style)
  }

  /// Whole numbers without a fraction.
  private static func number(_ value: Double) -> String {
    if let whole = Int64(exactly: value) { return "\(whole)" }
    return "\((value * 1000).rounded() / 1000)"
  }
}
