enum FailoverBenchmark {
  static func run(_ options: BenchOptions) async throws -> [BenchmarkRow] { [] }
}
