/// Counts the instructions that a program executes in user space, by valgrind's callgrind: it needs no counters of the processor,
/// which virtual machines often lack, and a count hardly depends on what else runs.
struct InstructionCounter {
  static let tool = "callgrind"
  private let directory: BenchDirectory
  /// Calls in the short and in the long run: the difference is free of what starting costs.
  private let calls = (short: 200, long: 1_200)

  /// This program without what is for debuggers: valgrind 3.19 gives up on Swift's.
  private let stripped: String

  /// Nil where valgrind or strip is missing.
  init?(in directory: BenchDirectory) {
    stripped = "\(directory.path)/stripped"
    let commands = [["valgrind", "--version"], ["strip", "--strip-debug", "-o", stripped, BenchProcess.ownPath]]
    for command in commands {
      guard (try? BenchProcess.output(of: command, isSilent: true)) != nil else { return nil }
    }
    self.directory = directory
  }

  /// Instructions a call.
  func server(_ contender: RPCContender) throws -> Double {
    try perCall { calls in
      let socket = "\(directory.path)/counted-server"
      let (command, file) = counted(contender.serverCommand(socket))
      let server = try RPCBenchmark.start(command, removing: socket)
      _ = try BenchProcess.output(of: contender.clientCommand(socket, calls: calls, inFlight: 1))
      server.stop()
      return try total(file)
    }
  }

  /// Instructions a call.
  func client(_ contender: RPCContender) throws -> Double {
    let socket = "\(directory.path)/counted-client"
    let server = try RPCBenchmark.start(contender.serverCommand(socket), removing: socket)
    defer { server.stop() }
    return try perCall { calls in
      let (command, file) = counted(contender.clientCommand(socket, calls: calls, inFlight: 1))
      _ = try BenchProcess.output(of: command)
      return try total(file)
    }
  }

  private func perCall(_ run: (Int) throws -> Double) throws -> Double {
    let short = try run(calls.short)
    return (try run(calls.long) - short) / Double(calls.long - calls.short)
  }

  private func counted(_ command: [String]) -> (command: [String], file: String) {
    let file = "\(directory.path)/callgrind"
    let program = command.map { $0 == BenchProcess.ownPath ? stripped : $0 }
    return (["valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=\(file)"] + program, file)
  }

  private func total(_ file: String) throws -> Double {
    let line = try BenchProcess.output(of: ["grep", "^totals:", file])
    guard let total = line.split(separator: " ").last.flatMap({ Double($0.filter(\.isNumber)) }) else {
      throw BenchError("callgrind did not say how many instructions it counted.")
    }
    return total
  }
}
