import ArgumentParser
import Glibc

/// `ftvs-bench`: what FTVS does beside what others do, measured in one run.
struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ftvs-bench",
    abstract: "Measures FTVS beside its peers, in one run on this machine.",
    discussion: """
      Each row shows our figure, the peer's, and the ratio of ours to the peer's: on a machine that is noisy the ratio is \
      what counts. A row with a goal says whether it holds; the exit status is 1 when one does not.
      """)

  @Argument(help: "What to measure: \(Suite.allNames). Everything when left out.")
  var suites: [Suite] = []

  @OptionGroup var options: BenchOptions

  @Option(help: ArgumentHelp("Writes the rows, one JSON object a line, to this file.", valueName: "file"))
  var json: String?

  mutating func run() async throws {
    var rows: [BenchmarkRow] = []
    for suite in suites.isEmpty ? Suite.allCases : suites {
      print("\n\(suite.rawValue)\n")
      let new = try await suite.run(options)
      for row in new { print(row.text) }
      rows += new
    }
    if let json { try write(rows, to: json) }
    let broken = rows.filter { $0.holds == false && !(options.countsOnly && $0.isTime) }
    print(broken.isEmpty ? "\nEvery goal holds." : "\n\(broken.count) goals do not hold.")
    if !broken.isEmpty { throw ExitCode(1) }
  }

  private func write(_ rows: [BenchmarkRow], to path: String) throws {
    guard let file = fopen(path, "w") else {
      throw ValidationError("\(path) cannot be written: \(String(cString: strerror(errno)))")
    }
    for row in rows { fputs(row.jsonLine + "\n", file) }
    guard fclose(file) == 0 else {
      throw ValidationError("\(path) cannot be written: \(String(cString: strerror(errno)))")
    }
  }
}

/// What can be measured.
enum Suite: String, CaseIterable, ExpressibleByArgument {
  case rpc, storage, failover, vm

  static var allNames: String { allCases.map(\.rawValue).joined(separator: ", ") }

  func run(_ options: BenchOptions) async throws -> [BenchmarkRow] {
    switch self {
    case .rpc: try await RPCBenchmark.run(options)
    case .storage: try await StorageBenchmark.run(options)
    case .failover: try await FailoverBenchmark.run(options)
    case .vm: try await VMBenchmark.run(options)
    }
  }
}

/// How much is measured, and with what.
struct BenchOptions: ParsableArguments {
  @Option(help: "Share of the full counts, above 0 and up to 1: CI runs a tenth.")
  var share = 1.0

  @Option(help: "Seed of what is drawn by chance; drawn anew when left out, and printed.")
  var seed: UInt64 = .random(in: 1...999_999_999)

  @Flag(help: "Judge counts only: on a machine that does other work meanwhile, times are told and say little.")
  var countsOnly = false

  @Option(help: ArgumentHelp("Directory of the programs under test; built when left out.", valueName: "directory"))
  var binaries: String?

  @Option(help: ArgumentHelp("Directory that deploy/guest/build filled; made when left out.", valueName: "directory"))
  var guest: String?

  mutating func validate() throws {
    guard share > 0, share <= 1 else { throw ValidationError("--share is above 0 and up to 1.") }
  }

  /// A tenth of the full count, or however much is asked for; at least 1.
  func count(_ full: Int) -> Int { max(1, Int((Double(full) * share).rounded())) }
}
