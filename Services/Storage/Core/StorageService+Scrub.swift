import AlertAPI
import BlockLayers
import ControlState
import Primitives
import RPC
import ServiceAPI

/// Finding what changed on a disk by itself, before the other leg is lost.
extension StorageService {
  /// Scrubs everything again and again, until it is cancelled.
  func scrubNowAndThen() async throws {
    try await Task.sleep(for: StorageLimits.scrubDelay)
    while true {
      await scrub()
      try await Task.sleep(for: StorageLimits.scrubPause)
    }
  }

  /// Scrubs every layer of every volume and image, and tells what was found. Stops when there are no two legs in step.
  func scrub() async {
    let layers = (try? await state.read { database in try Catalog.layers(in: database) }) ?? []
    for layer in layers {
      guard legs.inStep.count == 2, !Task.isCancelled else { return }
      do {
        // It may have been renamed or removed since the list was made.
        let current = try await state.read { database in try Catalog.layer(layer.id, in: database) }
        guard let current else { continue }
        let report = try await resyncs.run { try self.store.scrub(current) }
        guard let report else { continue }
        tell(of: report, on: current)
      } catch {
        environment.logger.warning(
          "a layer was not scrubbed", metadata: ["layer": "\(layer.path)", "error": "\(error)"])
      }
    }
  }

  private func tell(of report: ScrubReport, on layer: LayerRecord) {
    let (what, subject) = (layer.owner.description, layer.owner.name)
    let data: [String: JSONValue] = [
      "layer": .string(layer.id), "checkedBytes": .integer(report.checkedBytes),
      "skippedBytes": .integer(report.skippedBytes),
      "repairedOnIO0": .integer(Int64(report.repairedBlocks[.io0, default: 0])),
      "repairedOnIO1": .integer(Int64(report.repairedBlocks[.io1, default: 0])),
      "undecidedBlocks": .integer(Int64(report.undecidedBlocks)), "lostBlocks": .integer(Int64(report.lostBlocks)),
    ]
    for (leg, blocks) in report.repairedBlocks.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      publish(
        .warning, .blocksRepaired, subject,
        """
        \(blocks) blocks of \(what) were wrong or unreadable on leg \(leg) and were written again from leg \
        \(leg.other). A disk that does this again should be replaced.
        """, data)
    }
    if report.undecidedBlocks > 0 {
      publish(
        .error, .blocksDiffered, subject,
        """
        \(report.undecidedBlocks) blocks of \(what) differed between the legs, and nothing says which one was right; the \
        leg that is read was taken as right. Check the file system of the guest.
        """, data)
    }
    if report.lostBlocks > 0 {
      publish(
        .critical, .blocksLost, subject,
        """
        \(report.lostBlocks) blocks of \(what) are wrong or unreadable on both legs; they were left as they are. Restore \
        what they hold from a backup.
        """, data)
    }
  }
}
