import ArgumentParser

/// The part of a benchmark that runs on an installed host, inside the sandboxed systemd.
struct InsideCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "inside", shouldDisplay: false)

  @Argument var suite: InstalledSuite
  @Option var count: Int
  @Option var guest: String
  @Option var result: String

  mutating func run() async throws {
    let host = InstalledHost()
    try await host.waitsInStep()
    let measurements =
      switch suite {
      case .failover: try await FailoverRun(host: host, kills: count, guest: guest).run()
      case .vm: try await GuestRun(host: host, failures: count, guest: guest).run()
      }
    try measurements.write(to: result)
  }
}

/// Suites that need an installed host.
enum InstalledSuite: String, ExpressibleByArgument { case failover, vm }
