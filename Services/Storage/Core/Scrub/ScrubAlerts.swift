import AlertAPI
import BlockLayers
import Primitives
import RPC

/// What operators are told of a scrub.
extension StorageService {
  /// Publishes what was found in a layer.
  func tell(of report: ScrubReport, on owner: ScrubSubject, _ layer: String) {
    let (what, subject) = (owner.description, owner.name)
    let data: [String: JSONValue] = [
      "layer": .string(layer), "checkedBytes": .integer(report.checkedBytes),
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
