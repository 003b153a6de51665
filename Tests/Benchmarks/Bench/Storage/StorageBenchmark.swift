import FTVSClient
import Glibc
import VHD

/// Blocks over NBD, beside what others serve, a trivial server in C, and ourselves with less to do.
///
/// One load asks all of them alike, over Unix sockets, of images that are in the page cache. Within a round every workload is measured
/// on all contenders in a row, in an order drawn anew; a row tells the medians over the rounds, and its ratio is the median of the
/// rounds' ratios.
struct StorageBenchmark {
  static let imageSize: Int64 = 1 << 30
  private static let rounds = 5
  private static let chainDepth = 8

  private let options: BenchOptions
  private let directory: BenchDirectory
  private let load: StorageLoad
  private let bare: String
  private var measured = StorageMeasurements()

  static func run(_ options: BenchOptions) async throws -> [BenchmarkRow] {
    let directory = try BenchDirectory(in: "/var/tmp")
    var benchmark = try StorageBenchmark(options: options, directory: directory)
    return try await benchmark.rows()
  }

  private init(options: BenchOptions, directory: BenchDirectory) throws {
    self.options = options
    self.directory = directory
    func compile(_ source: String) throws -> String {
      let program = "\(directory.path)/\(source)"
      _ = try BenchProcess.output(
        of: ["cc", "-O2", "-o", program, "\(Checkout.top)/Tests/Benchmarks/Peers/nbd/\(source).c"])
      return program
    }
    load = StorageLoad(program: try compile("load"))
    bare = try compile("bare")
  }

  private mutating func rows() async throws -> [BenchmarkRow] {
    print("  seed \(options.seed), \(Self.rounds) rounds")
    fflush(nil)
    let binaries = try options.binaries ?? Sandbox.build()
    report("images of the peers")
    let raw = try makeRaw()
    let peers = try StoragePeers(in: directory, bare: bare, raw: raw)
    defer { peers.stop() }
    report("chains of layers")
    let chains = try StorageChains(in: directory, depth: Self.chainDepth, size: Self.imageSize)
    defer { chains.stop() }
    report("a host with one leg, a host with two")
    let (simplex, ours) = try await lab(binaries, "one", legs: 1)
    defer { simplex.stop() }
    let (duplex, mirrored) = try await lab(binaries, "two", legs: 2)
    defer { duplex.stop() }

    try measure(ours: ours, mirrored: mirrored, peers: peers.contenders, chains: chains)
    var rows = StorageRows(measured: measured, missing: peers.missing).all
    peers.stop()
    chains.stop()
    simplex.stop()
    report("clones and memory")
    let library = StorageLibrary(lab: duplex, load: load)
    rows += try await library.rows(from: try StorageLab.name(Self.volume))
    report("counts")
    rows += try counts(chains, raw: raw, peers)
    report("removing what was made")
    return rows
  }

  // MARK: Set-up

  private static let volume = "bench"

  /// A raw image that holds what all others do.
  private func makeRaw() throws -> String {
    let path = "\(directory.path)/peer.raw"
    _ = try BenchProcess.output(of: ["truncate", "-s", "\(Self.imageSize)", path])
    let socket = "\(directory.path)/fill"
    let server = try StoragePeers.start([bare, socket, path], on: socket)
    try load.fill(StorageEndpoint(socket: socket, export: ""))
    server.stop()
    return path
  }

  /// The volume is as large as an image of the library may be; only its beginning is used.
  private func lab(
    _ binaries: String, _ name: String, legs: Int
  ) async throws -> (StorageLab, StorageContender) {
    let lab = try StorageLab(binaries: binaries, in: directory, name: name, legs: legs)
    let volume: VolumeName = try StorageLab.name(Self.volume)
    try await lab.create(volume, sizeBytes: 100 << 30)
    let endpoint = try await lab.export(volume)
    try load.fill(endpoint)
    return (lab, StorageContender(legs == 1 ? StorageRows.ours : StorageRows.mirrored, reads: endpoint))
  }

  // MARK: Measuring

  private mutating func measure(
    ours: StorageContender, mirrored: StorageContender, peers: [StorageContender], chains: StorageChains
  ) throws {
    var random = SeededGenerator(seed: options.seed)
    let everyone = [ours, mirrored] + peers
    for round in 1...Self.rounds {
      for workload in StorageWorkload.all {
        // The chains answer one question: what they cost at random places.
        let ourselves = workload.isRandom && workload.connections == 1 ? chains.contenders : []
        try measure(workload, everyone + ourselves, milliseconds: 200, &random)
      }
      let flushing = everyone.filter { $0.name != StoragePeers.cow && $0.name != StoragePeers.qemuVPC }
      // A disk's time moves more than a processor's: in many short turns.
      for _ in 0..<4 { try measure(.flush, flushing, milliseconds: 150, &random) }
      report("round \(round) of \(Self.rounds)")
    }
  }

  private mutating func measure(
    _ workload: StorageWorkload, _ contenders: [StorageContender], milliseconds: Int, _ random: inout SeededGenerator
  ) throws {
    // Else it would be written back while others are measured.
    if workload.isWriting { _ = try BenchProcess.output(of: ["sync", "-f", directory.path]) }
    for contender in contenders.shuffled(using: &random) {
      let figures = try load.run(
        workload, on: workload.endpoint(contender), milliseconds: max(40, options.count(milliseconds)),
        seed: random.next() >> 8)
      measured.add(figures, workload, contender.name)
    }
  }

  // MARK: Counts

  private func counts(_ chains: StorageChains, raw: String, _ peers: StoragePeers) throws -> [BenchmarkRow] {
    let bare = bare
    let base = chains.base
    var others = [StorageCounts.Server(name: StoragePeers.bare) { [bare, $0, raw] }]
    if peers.missing[StoragePeers.nbdkit] == nil {
      others.append(.init(name: StoragePeers.nbdkit) { ["nbdkit", "-f", "-U", $0, "file", raw] })
    }
    let ours = StorageCounts.Server(name: "ours") { [BenchProcess.ownPath, "storage-server", $0, base] }
    return try StorageCounts(in: directory, load: load).rows(ours: ours, peers: others)
  }
}
