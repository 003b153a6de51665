/// Where a server of blocks is reached.
struct StorageEndpoint {
  let socket: String
  let export: String
}

/// One of those that are measured beside each other.
struct StorageContender {
  let name: String
  /// Two where what is written would change what reading costs: the second one is written to.
  let reads: StorageEndpoint
  let writes: StorageEndpoint

  init(_ name: String, reads: StorageEndpoint, writes: StorageEndpoint? = nil) {
    self.name = name
    self.reads = reads
    self.writes = writes ?? reads
  }
}

/// What is asked of a server.
struct StorageWorkload: Hashable {
  /// As in names of rows.
  let name: String
  /// A pattern of the load.
  let pattern: String
  let block: Int
  let depth: Int
  let connections: Int

  var isWriting: Bool { pattern.hasSuffix("write") || pattern == "flush" }
  var isRandom: Bool { block == 4096 }

  /// 4 KiB at random places and 256 KiB one after the other.
  static let all: [StorageWorkload] = ["read", "write"].flatMap { access in
    [1, 4].flatMap { connections in
      [1, 16].map { random(access, depth: $0, connections: connections) } + [
        StorageWorkload(
          name: "sequential.\(access).c\(connections)", pattern: "sequential-\(access)", block: 262_144, depth: 4,
          connections: connections)
      ]
    }
  }

  static func random(_ access: String, depth: Int, connections: Int) -> StorageWorkload {
    StorageWorkload(
      name: "\(access).q\(depth).c\(connections)", pattern: access, block: 4096, depth: depth,
      connections: connections)
  }

  /// A flush after every write.
  static let flush = StorageWorkload(name: "flush", pattern: "flush", block: 4096, depth: 1, connections: 1)

  func endpoint(_ contender: StorageContender) -> StorageEndpoint { isWriting ? contender.writes : contender.reads }
}

/// The load, compiled.
struct StorageLoad {
  struct Figures {
    /// Requests a second.
    var rate: Double
    /// Share of a processor that the load itself took.
    var ownShare: Double
  }

  let program: String

  func run(
    _ workload: StorageWorkload, on endpoint: StorageEndpoint, milliseconds: Int, seed: UInt64
  ) throws -> Figures {
    let numbers = try BenchProcess.output(of: command("run", workload, endpoint, milliseconds, seed))
      .split(whereSeparator: \.isWhitespace).compactMap { Double($0) }
    guard numbers.count == 2 else { throw BenchError("The load measured nothing.") }
    return Figures(rate: numbers[0], ownShare: numbers[1])
  }

  /// The command that makes a number of requests.
  func counting(_ workload: StorageWorkload, on endpoint: StorageEndpoint, requests: Int) -> [String] {
    command("count", workload, endpoint, requests, 1)
  }

  /// Writes the whole image once.
  func fill(_ endpoint: StorageEndpoint) throws {
    let fill = StorageWorkload(name: "fill", pattern: "fill", block: 262_144, depth: 4, connections: 1)
    _ = try run(fill, on: endpoint, milliseconds: 1, seed: 1)
  }

  /// Reads a little of each export, and stays connected until it is stopped.
  func hold(_ exports: [String], on socket: String) throws -> BenchProcess {
    let process = try BenchProcess([program, "hold", socket] + exports)
    guard process.line() == "ready" else { throw BenchError("The exports cannot be read.") }
    return process
  }

  private func command(
    _ mode: String, _ workload: StorageWorkload, _ endpoint: StorageEndpoint, _ amount: Int, _ seed: UInt64
  ) -> [String] {
    [
      program, mode, endpoint.socket, endpoint.export, workload.pattern, "\(workload.block)", "\(workload.depth)",
      "\(workload.connections)", "\(amount)", "\(seed)",
    ]
  }
}
