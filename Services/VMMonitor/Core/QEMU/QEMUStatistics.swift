import RPC

extension QEMUInstance {
  func statistics() async throws(EngineError) -> EngineStatistics {
    var statistics = EngineStatistics(blockStatistics: try await value("query-blockstats"))
    // Refused where there is no balloon.
    statistics.balloonBytes = (try? await value("query-balloon"))?["actual"]?.integer
    return statistics
  }
}

extension EngineStatistics {
  /// The answer to `query-blockstats` (QEMU's qapi/block-core.json).
  init(blockStatistics answer: JSONValue) {
    guard case .array(let entries) = answer else { return }
    for entry in entries {
      guard let path = entry["qdev"]?.string, let target = Self.device(path), let stats = entry["stats"] else {
        continue
      }
      func count(_ name: String) -> Int64 { stats[name]?.integer ?? 0 }
      var disk = Disk()
      disk.readBytes = count("rd_bytes")
      disk.writtenBytes = count("wr_bytes")
      disk.readOperations = count("rd_operations")
      disk.writeOperations = count("wr_operations")
      disk.flushOperations = count("flush_operations")
      disk.failedOperations =
        ["failed_rd_operations", "failed_wr_operations", "failed_flush_operations"].reduce(0) { $0 &+ count($1) }
      disks[target] = disk
    }
  }

  /// The device in `/machine/peripheral/vda/virtio-backend`.
  private static func device(_ path: String) -> String? {
    let parts = path.split(separator: "/")
    guard let index = parts.firstIndex(of: "peripheral"), index + 1 < parts.count else { return nil }
    return String(parts[index + 1])
  }
}
