import FTVSClient
import Foundation

/// Loss of modules under clients, beside a trivial pair in C that dies with them.
enum FailoverBenchmark {
  static func run(_ options: BenchOptions) async throws -> [BenchmarkRow] {
    let pair = try Pair()
    defer { pair.remove() }
    let found = try Sandbox(options: options).run(.failover, count: options.count(200), units: pair.units)
    for problem in found.problems { print("  PROBLEM: \(problem)") }
    return coldStart(found) + gaps(found) + integrity(found)
  }

  private static func coldStart(_ found: Measurements) -> [BenchmarkRow] {
    ServiceName.allCases.map {
      BenchmarkRow(
        "failover.coldStart.\($0)", unit: "ms", ours: found["coldStart.\($0)"].longest, goal: .atMost(150))
    }
  }

  private static func gaps(_ found: Measurements) -> [BenchmarkRow] {
    let pair = found["gap.pair"]
    let all = Samples(ServiceName.allCases.flatMap { found.samples["gap.\($0)"] ?? [] })
    var rows: [BenchmarkRow] = []
    for (name, samples) in ServiceName.allCases.map({ ("\($0).", found["gap.\($0)"]) }) + [("", all)] {
      for (what, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
        rows.append(
          BenchmarkRow(
            "failover.gap.\(name)\(what)", unit: "ms", ours: samples.percentile(share), peer: pair.percentile(share),
            peerName: "C pair", goal: what == "p99" ? .atMost(20) : nil))
      }
    }
    for service in ServiceName.allCases {
      let samples = found["activation.\(service)"]
      rows.append(BenchmarkRow("failover.activation.\(service).p50", unit: "ms", ours: samples.median))
      rows.append(BenchmarkRow("failover.activation.\(service).max", unit: "ms", ours: samples.longest))
    }
    rows.append(BenchmarkRow("failover.inStep.p50", unit: "ms", ours: found["inStep"].median))
    rows.append(BenchmarkRow("failover.inStep.max", unit: "ms", ours: found["inStep"].longest))
    let burst = Samples(ServiceName.allCases.flatMap { found.samples["burst.gap.\($0)"] ?? [] })
    rows.append(
      BenchmarkRow(
        "failover.burst.gap.max", unit: "ms", ours: burst.longest, peer: found["burst.gap.pair"].longest,
        peerName: "C pair"))
    return rows
  }

  private static func integrity(_ found: Measurements) -> [BenchmarkRow] {
    func count(_ name: String, _ goal: BenchmarkRow.Goal? = nil) -> BenchmarkRow {
      BenchmarkRow("failover.\(name)", unit: "", ours: Double(found.counts[name] ?? 0), goal: goal)
    }
    return [
      count("calls", .atLeast(1)), count("cuts"), count("refused", .atMost(0)), count("burst.refused", .atMost(0)),
      count("effects", .atLeast(1)), count("repeats", .atLeast(1)), count("lost", .atMost(0)),
      count("guest.acknowledged", .atLeast(1)),
      BenchmarkRow("failover.problems", unit: "", ours: Double(found.problems.count), goal: .atMost(0)),
    ]
  }
}

/// The trivial pair, compiled, with its units.
private struct Pair {
  let units: String

  init() throws {
    let source = "\(Checkout.top)/Tests/Benchmarks/Peers/pair"
    units = try Program.run("mktemp", "-d", "/var/tmp/ftvs-pair.XXXXXX", capture: true).trimmed
    try Program.run("sh", "-c", "cp '\(source)'/ftvs-pair* '\(units)' && chmod 755 '\(units)'")
    try Program.run("sh", "-c", "$(command -v cc || command -v clang) -O2 -o '\(units)/pair' '\(source)/pair.c'")
  }

  func remove() { try? FileManager.default.removeItem(atPath: units) }
}
