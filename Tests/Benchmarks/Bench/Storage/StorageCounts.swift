/// What a server does for a request: counts that show a regression on a machine on which times say nothing.
struct StorageCounts {
  private static let system = "raw_syscalls:sys_enter"
  private static let instructions = "instructions:u"
  /// Requests in the short and in the long run: the difference is free of what a connection costs.
  private static let requests = (short: 500, long: 4_500)
  static let workloads = ["read", "write"].map { StorageWorkload.random($0, depth: 16, connections: 1) }

  /// Something to count on, that is started and reached like this.
  struct Server {
    let name: String
    let command: (_ socket: String) -> [String]
  }

  let directory: BenchDirectory
  let load: StorageLoad
  private let callgrind: Callgrind?

  init(in directory: BenchDirectory, load: StorageLoad) {
    self.directory = directory
    self.load = load
    callgrind = Callgrind(in: directory)
  }

  /// The ones of ours, each beside the peers. The limits are about a fifth above what they are.
  func rows(ours: Server, peers: [Server]) throws -> [BenchmarkRow] {
    try Self.workloads.flatMap { workload in
      try rows(
        "storage.instructions.\(workload.name)", ours, peers,
        limit: workload.isWriting ? Self.writeInstructions : Self.readInstructions
      ) { try instructions(workload, $0) }
        + rows(
          "storage.systemCalls.\(workload.name)", ours, peers, limit: Self.systemCalls
        ) { try systemCalls(workload, $0) }
    }
  }

  private static let readInstructions = 2_300.0
  private static let writeInstructions = 2_600.0
  /// The transfer, the question whether the leg may be used, and a part of receiving and of sending.
  private static let systemCalls = 2.5

  private typealias Count = (number: Double, tool: String)

  private func rows(
    _ benchmark: String, _ ours: Server, _ peers: [Server], limit: Double, _ count: (Server) throws -> Count?
  ) rethrows -> [BenchmarkRow] {
    guard let own = try count(ours) else {
      return [
        BenchmarkRow(
          benchmark, unit: "1/request", ours: .nan, peerName: "neither perf nor valgrind counts here",
          goal: .atMost(limit))
      ]
    }
    return try peers.map { peer in
      let other = try count(peer)
      return BenchmarkRow(
        benchmark, unit: "1/request", ours: own.number, peer: other?.number, peerName: "\(peer.name) (\(own.tool))",
        goal: .atMost(limit))
    }
  }

  // MARK: Counting

  /// In user space: by the processor where it counts, else by valgrind.
  private func instructions(_ workload: StorageWorkload, _ server: Server) throws -> Count? {
    if let number = try perf(Self.instructions, workload, server) { return (number, "perf") }
    guard let callgrind else { return nil }
    let number = try perRequest { requests in
      let socket = "\(directory.path)/counted"
      let (command, file) = callgrind.counted(server.command(socket))
      let process = try StoragePeers.start(command, on: socket)
      let endpoint = StorageEndpoint(socket: socket, export: "")
      _ = try BenchProcess.output(of: load.counting(workload, on: endpoint, requests: requests))
      process.stop()
      return try callgrind.total(file)
    }
    return (number, Callgrind.tool)
  }

  private func systemCalls(_ workload: StorageWorkload, _ server: Server) throws -> Count? {
    try perf(Self.system, workload, server).map { ($0, "perf") }
  }

  private func perRequest(_ run: (Int) throws -> Double) rethrows -> Double {
    let short = try run(Self.requests.short)
    return (try run(Self.requests.long) - short) / Double(Self.requests.long - Self.requests.short)
  }

  /// Nil where perf is missing, may not be used, or does not know the event on this machine.
  private func perf(_ event: String, _ workload: StorageWorkload, _ server: Server) throws -> Double? {
    let socket = "\(directory.path)/counted"
    let process = try StoragePeers.start(server.command(socket), on: socket)
    defer { process.stop() }
    let endpoint = StorageEndpoint(socket: socket, export: "")
    let file = "\(directory.path)/perf"
    func count(_ requests: Int) -> Double? {
      let perf = ["perf", "stat", "-x", ",", "-o", file, "-e", event, "-p", "\(process.identifier)", "--"]
      let command = perf + load.counting(workload, on: endpoint, requests: requests)
      guard (try? BenchProcess.output(of: command, isSilent: true)) != nil,
        let text = try? BenchProcess.output(of: ["grep", event, file], isSilent: true)
      else { return nil }
      return text.split(separator: ",").first.flatMap { Double($0) }
    }
    guard let short = count(Self.requests.short), let long = count(Self.requests.long) else { return nil }
    return (long - short) / Double(Self.requests.long - Self.requests.short)
  }
}
