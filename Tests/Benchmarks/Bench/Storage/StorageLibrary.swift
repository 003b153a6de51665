import FTVSClient
import Glibc

/// What the real service takes for a clone, and for many volumes at once.
struct StorageLibrary {
  private static let clones = 64
  let lab: StorageLab
  let load: StorageLoad

  /// `volume` becomes the library's image; it is `sizeBytes` large.
  func rows(from volume: VolumeName) async throws -> [BenchmarkRow] {
    let image: ImageName = try StorageLab.name("golden")
    try await lab.promote(volume, to: image)
    let process = try await lab.storageProcess()
    let empty = try memory(process)
    let (times, written) = try await cloneAll(image, process)
    var exports: [String] = []
    var socket = ""
    for number in 0..<Self.clones {
      let endpoint = try await lab.export(try clone(number))
      exports.append(endpoint.export)
      socket = endpoint.socket
    }
    let clients = try load.hold(exports, on: socket)
    defer { clients.stop() }
    let full = try memory(process)
    return [
      BenchmarkRow("storage.clone.p50", unit: "ms", ours: times.median, goal: .atMost(20)),
      BenchmarkRow("storage.clone.max", unit: "ms", ours: times.longest),
      BenchmarkRow("storage.clone.written", unit: "MiB", ours: written, goal: .atMost(1)),
      BenchmarkRow(
        "storage.memory.rss", unit: "MiB", ours: full.resident, peer: empty.resident, peerName: "before",
        goal: .atMost(64)),
      BenchmarkRow(
        "storage.memory.pss", unit: "MiB", ours: full.shared, peer: empty.shared, peerName: "before"),
      BenchmarkRow(
        "storage.memory.private", unit: "MiB", ours: full.own, peer: empty.own, peerName: "before"),
    ]
  }

  private func clone(_ number: Int) throws -> VolumeName { try StorageLab.name("clone-\(number)") }

  /// How long each took in milliseconds, and what one of them wrote on all legs, in MiB.
  private func cloneAll(_ image: ImageName, _ process: Int) async throws -> (Samples, written: Double) {
    var times: [Double] = []
    let before = try StorageLab.figure("write_bytes:", of: process, in: "io")
    for number in 0..<Self.clones {
      let begin = ContinuousClock.now
      try await lab.create(try clone(number), image: image)
      times.append((ContinuousClock.now - begin) / .milliseconds(1))
    }
    let after = try StorageLab.figure("write_bytes:", of: process, in: "io")
    return (Samples(times), (after - before) / Double(Self.clones) / 1_048_576)
  }

  private func memory(_ process: Int) throws -> (resident: Double, shared: Double, own: Double) {
    func mebibytes(_ name: String) throws -> Double {
      try StorageLab.figure(name, of: process, in: "smaps_rollup") / 1024
    }
    return (try mebibytes("Rss:"), try mebibytes("Pss:"), try mebibytes("Private_"))
  }
}
