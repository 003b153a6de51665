import FTVSClient

/// What a guest notices.
enum VMBenchmark {
  static func run(_ options: BenchOptions) async throws -> [BenchmarkRow] {
    let found = try Sandbox(options: options).run(.vm, count: options.count(20))
    for problem in found.problems { print("  PROBLEM: \(problem)") }
    var rows: [BenchmarkRow] = []
    for phase in ["detect", "decide", "fence", "start"] {
      let samples = found["recovery.\(phase)"]
      rows.append(BenchmarkRow("vm.recovery.\(phase).p50", unit: "ms", ours: samples.median))
      rows.append(BenchmarkRow("vm.recovery.\(phase).max", unit: "ms", ours: samples.longest))
    }
    rows.append(BenchmarkRow("vm.recovery.p50", unit: "ms", ours: found["recovery"].median))
    rows.append(BenchmarkRow("vm.recovery.max", unit: "ms", ours: found["recovery"].longest, goal: .atMost(300)))
    rows.append(
      BenchmarkRow("vm.storageKill.silence.max", unit: "ms", ours: found["storageKill.silence"].longest))
    rows.append(
      BenchmarkRow(
        "vm.storageKill.errors", unit: "", ours: Double(found.counts["storageKill.errors"] ?? 0), goal: .atMost(0)))
    for service in ServiceName.allCases {
      rows.append(
        BenchmarkRow(
          "vm.idle.memory.\(service)", unit: "MiB", ours: found["idle.memory.\(service)"].longest, goal: .atMost(40)))
      rows.append(
        BenchmarkRow(
          "vm.idle.processor.\(service)", unit: "%", ours: found["idle.processor.\(service)"].longest, goal: .atMost(1))
      )
    }
    rows.append(BenchmarkRow("vm.problems", unit: "", ours: Double(found.problems.count), goal: .atMost(0)))
    return rows
  }
}
