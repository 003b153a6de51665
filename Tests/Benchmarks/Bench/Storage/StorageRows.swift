/// Figures by workload and contender, one of each round.
struct StorageMeasurements {
  private var figures: [StorageWorkload: [String: [StorageLoad.Figures]]] = [:]

  mutating func add(_ new: StorageLoad.Figures, _ workload: StorageWorkload, _ contender: String) {
    figures[workload, default: [:]][contender, default: []].append(new)
  }

  func rates(_ workload: StorageWorkload, _ contender: String) -> [Double] {
    figures[workload]?[contender]?.map(\.rate) ?? []
  }

  /// The largest share of a processor that the load took for one connection's worth of work, median of the rounds.
  var loadShare: Double {
    figures.values.flatMap { $0.values.map { Samples($0.map(\.ownShare)).median } }.max() ?? 0
  }
}

/// What was measured, as rows with goals.
struct StorageRows {
  static let ours = "ours"
  static let mirrored = "mirrored"

  let measured: StorageMeasurements
  /// Peers that are not there, and why.
  let missing: [String: String]

  var all: [BenchmarkRow] {
    StorageWorkload.all.flatMap(besidePeers) + yardstick
      + [(Self.ours, StoragePeers.qemuRaw), (Self.ours, StoragePeers.nbdkit)].map {
        row("storage.flush", .flush, $0.0, $0.1, goal: $0.1 == StoragePeers.qemuRaw ? .ratioAtLeast(1) : nil)
      } + [row("storage.flush", .flush, Self.ours, StoragePeers.bare)] + mirror + chain + [
        BenchmarkRow("storage.load.processor", unit: "%", ours: measured.loadShare * 100)
      ]
  }

  private func besidePeers(_ workload: StorageWorkload) -> [BenchmarkRow] {
    let isDeep = workload.isRandom && workload.depth == 16
    let isRandomWrite = workload.isRandom && workload.isWriting
    let goals: [(String, BenchmarkRow.Goal?)] = [
      (StoragePeers.nbdkit, isDeep ? .ratioAtLeast(1) : nil), (StoragePeers.cow, nil), (StoragePeers.qemuRaw, nil),
      (StoragePeers.qemuVPC, isRandomWrite ? .ratioAtLeast(20) : nil), (StoragePeers.bare, nil),
    ]
    return goals.map { row("storage.\(workload.name)", workload, Self.ours, $0.0, goal: $0.1) }
  }

  /// What the trivial server reaches beside the same peer: how much of a multiple the round trips leave to anybody.
  private var yardstick: [BenchmarkRow] {
    StorageWorkload.all.filter { $0.isRandom && $0.isWriting }.map { workload in
      row("storage.yardstick.\(workload.name)", workload, StoragePeers.bare, StoragePeers.qemuVPC)
    }
  }

  /// Two legs beside one.
  private var mirror: [BenchmarkRow] {
    (StorageWorkload.all + [.flush]).map { workload in
      // What a flush costs is the disk's, and there is one disk for both legs here.
      row(
        "storage.mirrored.\(workload.name)", workload, Self.mirrored, Self.ours,
        goal: workload == .flush ? nil : .ratioAtLeast(0.7))
    }
  }

  private var chain: [BenchmarkRow] {
    StorageWorkload.all.filter { $0.isRandom && $0.connections == 1 }.map { workload in
      row(
        "storage.chain.\(workload.name)", workload, StorageChains.chain, StorageChains.single,
        goal: .ratioAtLeast(0.85))
    }
  }

  private func row(
    _ benchmark: String, _ workload: StorageWorkload, _ contender: String, _ peer: String,
    goal: BenchmarkRow.Goal? = nil
  ) -> BenchmarkRow {
    let own = measured.rates(workload, contender)
    let others = measured.rates(workload, peer)
    guard !others.isEmpty else {
      return BenchmarkRow(
        benchmark, unit: "1/s", ours: Samples(own).median, peerName: missing[peer] ?? "\(peer): not measured",
        goal: goal)
    }
    var row = BenchmarkRow(
      benchmark, unit: "1/s", ours: Samples(own).median, peer: Samples(others).median, peerName: peer, goal: goal)
    // One that finished nothing in its time has no rate to compare with.
    let ratios = Samples(zip(own, others).compactMap { $1 > 0 ? $0 / $1 : nil })
    row.medianRatio = ratios.count > 0 ? ratios.median : nil
    return row
  }
}
