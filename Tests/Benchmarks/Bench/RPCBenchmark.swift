enum RPCBenchmark {
  static func run(_ options: BenchOptions) async throws -> [BenchmarkRow] { [] }
}
