import Glibc

/// A small call over our RPC, beside the same bytes without any RPC, and beside sd-bus.
///
/// Every server and client is a process of its own. Each round measures all of them, in an order drawn anew; a row tells the
/// medians over the rounds, and its ratio is the median of the rounds' ratios.
///
/// The peers' clients receive on the thread that called, and the kernel keeps such a pair of threads on one processor. Ours hands the
/// answer from its event loop to Swift's pool: on an idle machine that wakes the other processor, which costs more than all the rest
/// and is why the goals for round trips are wide. `rpc.server` is without that.
struct RPCBenchmark {
  private static let rounds = 7

  private struct Figures {
    var median = 0.0
    var longest = 0.0
    var rate = 0.0
  }

  private let options: BenchOptions
  private let directory: BenchDirectory
  private let contenders: RPCContenders
  /// By contender: one at a time, and 64 in flight.
  private var single: [String: [Figures]] = [:]
  private var pipelined: [String: [Figures]] = [:]

  static func run(_ options: BenchOptions) async throws -> [BenchmarkRow] {
    let directory = try BenchDirectory()
    var benchmark = RPCBenchmark(
      options: options, directory: directory, contenders: try RPCContenders(in: directory))
    try benchmark.measure()
    return try benchmark.timeRows + benchmark.instructionRows() + benchmark.idleRows()
  }

  private init(options: BenchOptions, directory: BenchDirectory, contenders: RPCContenders) {
    self.options = options
    self.directory = directory
    self.contenders = contenders
  }

  /// Starts a server and waits until it listens.
  static func start(_ command: [String], removing socket: String) throws -> BenchProcess {
    unlink(socket)
    let server = try BenchProcess(command)
    guard server.line() == "ready" else { throw BenchError("\(command.joined(separator: " ")) did not start.") }
    return server
  }

  // MARK: Measuring

  private mutating func measure() throws {
    var random = SeededGenerator(seed: options.seed)
    print("  seed \(options.seed), \(Self.rounds) rounds")
    fflush(nil)
    let all = contenders.all
    let sockets = all.indices.map { "\(directory.path)/socket\($0)" }
    let servers = try zip(all, sockets).map { try Self.start($0.serverCommand($1), removing: $1) }
    defer { for server in servers { server.stop() } }
    for _ in 0..<Self.rounds {
      for index in all.indices.shuffled(using: &random) {
        let (contender, socket) = (all[index], sockets[index])
        single[contender.name, default: []].append(
          try figures(contender.clientCommand(socket, calls: options.count(2_000), inFlight: 1)))
        pipelined[contender.name, default: []].append(
          try figures(contender.clientCommand(socket, calls: options.count(20_000), inFlight: 64)))
      }
    }
  }

  private func figures(_ command: [String]) throws -> Figures {
    let numbers = try BenchProcess.output(of: command).split(whereSeparator: \.isWhitespace).compactMap { Double($0) }
    guard numbers.count == 3 else { throw BenchError("\(command.joined(separator: " ")) measured nothing.") }
    return Figures(median: numbers[0], longest: numbers[1], rate: numbers[2])
  }

  // MARK: Rows

  private var timeRows: [BenchmarkRow] {
    let (ours, server) = (contenders.ours, contenders.ourServer)
    let (bare, bus) = (contenders.bare, contenders.bus)
    return [
      row("rpc.roundTrip.p50", "us", single, \.median, ours, bare, .ratioAtMost(10)),
      row("rpc.roundTrip.p50", "us", single, \.median, ours, bus, .ratioAtMost(5)),
      row("rpc.roundTrip.p99", "us", single, \.longest, ours, bare),
      row("rpc.roundTrip.p99", "us", single, \.longest, ours, bus),
      row("rpc.server.roundTrip.p50", "us", single, \.median, server, bare, .ratioAtMost(2.5)),
      row("rpc.server.roundTrip.p99", "us", single, \.longest, server, bare),
      row("rpc.pipelined", "1/s", pipelined, \.rate, ours, bare),
      row("rpc.pipelined", "1/s", pipelined, \.rate, ours, bus, .ratioAtLeast(0.6)),
      row("rpc.server.pipelined", "1/s", pipelined, \.rate, server, bare, .ratioAtLeast(0.3)),
    ]
  }

  private func row(
    _ benchmark: String, _ unit: String, _ measured: [String: [Figures]], _ figure: KeyPath<Figures, Double>,
    _ ours: RPCContender, _ peer: Result<RPCContender, BenchError>, _ goal: BenchmarkRow.Goal? = nil
  ) -> BenchmarkRow {
    let own = measured[ours.name, default: []].map { $0[keyPath: figure] }
    switch peer {
    case .failure(let error):
      return BenchmarkRow(benchmark, unit: unit, ours: Samples(own).median, peerName: error.description, goal: goal)
    case .success(let peer):
      let others = measured[peer.name, default: []].map { $0[keyPath: figure] }
      var row = BenchmarkRow(
        benchmark, unit: unit, ours: Samples(own).median, peer: Samples(others).median, peerName: peer.name, goal: goal)
      row.medianRatio = Samples(zip(own, others).map { $0 / $1 }).median
      return row
    }
  }

  private func row(
    _ benchmark: String, _ unit: String, _ measured: [String: [Figures]], _ figure: KeyPath<Figures, Double>,
    _ ours: Result<RPCContender, BenchError>, _ peer: Result<RPCContender, BenchError>,
    _ goal: BenchmarkRow.Goal? = nil
  ) -> BenchmarkRow {
    switch ours {
    case .success(let ours): row(benchmark, unit, measured, figure, ours, peer, goal)
    case .failure(let error):
      BenchmarkRow(benchmark, unit: unit, ours: .nan, peerName: error.description, goal: goal)
    }
  }

  private func instructionRows() throws -> [BenchmarkRow] {
    let names = (server: "rpc.instructions.server", client: "rpc.instructions.client")
    guard let counter = InstructionCounter(in: directory) else {
      let missing = "\(InstructionCounter.tool): missing, install valgrind and binutils"
      return [names.server, names.client].map { BenchmarkRow($0, unit: "1/call", ours: .nan, peerName: missing) }
    }
    let server = try counter.server(contenders.ours)
    let client = try counter.client(contenders.ours)
    return try [contenders.bare, contenders.bus].flatMap { peer in
      switch peer {
      case .failure(let error):
        [(names.server, server), (names.client, client)].map {
          BenchmarkRow($0, unit: "1/call", ours: $1, peerName: error.description)
        }
      case .success(let peer):
        [
          BenchmarkRow(
            names.server, unit: "1/call", ours: server, peer: try counter.server(peer), peerName: counted(peer),
            goal: .atMost(37_000)),
          BenchmarkRow(
            names.client, unit: "1/call", ours: client, peer: try counter.client(peer), peerName: counted(peer),
            goal: .atMost(42_000)),
        ]
      }
    }
  }

  private func counted(_ peer: RPCContender) -> String { "\(peer.name) (\(InstructionCounter.tool))" }

  /// A server and a client that are connected and have nothing to say.
  private func idleRows() throws -> [BenchmarkRow] {
    let socket = "\(directory.path)/idle"
    let server = try Self.start(contenders.ours.serverCommand(socket), removing: socket)
    let client = try BenchProcess(contenders.ours.clientCommand(socket, calls: 1_000, inFlight: 1) + ["--stays"])
    guard client.line() != nil else { throw BenchError("The client did not start.") }
    // Threads of the pool that have nothing to do end after some seconds.
    usleep(6_000_000)
    let wakeUps = try IdleCounter.wakeUps(
      of: [server.identifier, client.identifier], seconds: max(2, 10 * options.share))
    return [
      BenchmarkRow("rpc.idle.wakeUps.own", unit: "1/s", ours: wakeUps.own, goal: .atMost(0.5)),
      BenchmarkRow("rpc.idle.wakeUps", unit: "1/s", ours: wakeUps.all, goal: .atMost(4)),
    ]
  }
}

/// SplitMix64: a seed replays a run.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
