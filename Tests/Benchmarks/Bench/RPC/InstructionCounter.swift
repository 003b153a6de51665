/// Counts the instructions that a server or a client of calls executes.
struct InstructionCounter {
  static let tool = Callgrind.tool
  private let directory: BenchDirectory
  private let callgrind: Callgrind
  /// Calls in the short and in the long run: the difference is free of what starting costs.
  private let calls = (short: 200, long: 1_200)

  /// Nil where valgrind or strip is missing.
  init?(in directory: BenchDirectory) {
    guard let callgrind = Callgrind(in: directory) else { return nil }
    self.callgrind = callgrind
    self.directory = directory
  }

  /// Instructions a call.
  func server(_ contender: RPCContender) throws -> Double {
    try perCall { calls in
      let socket = "\(directory.path)/counted-server"
      let (command, file) = callgrind.counted(contender.serverCommand(socket))
      let server = try RPCBenchmark.start(command, removing: socket)
      _ = try BenchProcess.output(of: contender.clientCommand(socket, calls: calls, inFlight: 1))
      server.stop()
      return try callgrind.total(file)
    }
  }

  /// Instructions a call.
  func client(_ contender: RPCContender) throws -> Double {
    let socket = "\(directory.path)/counted-client"
    let server = try RPCBenchmark.start(contender.serverCommand(socket), removing: socket)
    defer { server.stop() }
    return try perCall { calls in
      let (command, file) = callgrind.counted(contender.clientCommand(socket, calls: calls, inFlight: 1))
      _ = try BenchProcess.output(of: command)
      return try callgrind.total(file)
    }
  }

  private func perCall(_ run: (Int) throws -> Double) throws -> Double {
    let short = try run(calls.short)
    return (try run(calls.long) - short) / Double(calls.long - calls.short)
  }
}
