import Primitives
import RPC
import ServiceAPI

extension StorageService {
  /// Measured values of this instance.
  public func metrics() async -> [Metric] {
    let volumes = (try? await state.read { database in try Catalog.volumes(in: database).count }) ?? 0
    var metrics = [
      Metric(name: "volumes", summary: "Volumes that exist.", value: Double(volumes), labels: [:]),
      Metric(
        name: "openVolumes", summary: "Volumes whose layers are open.", value: Double(table.openVolumes().count),
        labels: [:]),
      Metric(
        name: "sessions", summary: "NBD clients connected now.", value: Double(table.sessionCount()), labels: [:]),
      Metric(
        name: "copyPauseSeconds", summary: "Time that copying and comparing legs waited for guests.",
        value: pace.paused / .seconds(1), labels: [:]),
    ]
    let space = await operations.run { self.legs.inStep.map { ($0, self.files.freeBytes(on: $0)) } }
    for (leg, free) in space {
      guard let free else { continue }
      metrics.append(
        Metric(
          name: "legFreeBytes", summary: "Space left on a leg.", value: Double(free), labels: ["leg": leg.rawValue]))
    }
    return metrics
  }
}
