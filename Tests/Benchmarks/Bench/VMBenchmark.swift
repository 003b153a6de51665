enum VMBenchmark {
  static func run(_ options: BenchOptions) async throws -> [BenchmarkRow] { [] }
}
