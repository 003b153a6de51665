import AlertAPI
import BlockLayers
import Primitives
import RPC
import Synchronization

/// Tells operators of reads that failed on a leg, or found something else than what was written: of each leg and layer once
/// in a while, however often it happens.
final class ReadAlerts: Sendable {
  private struct Subject: Hashable {
    var layer: String
    var leg: LegID
    var outcome: ReadFailure.Outcome
  }

  private let environment: StorageEnvironment
  private let told = Mutex<[Subject: ContinuousClock.Instant]>([:])

  init(_ environment: StorageEnvironment) { self.environment = environment }

  /// Tells of a failure in a layer, unless the same was told shortly before. Never blocks.
  func tell(of failure: ReadFailure, in layer: LayerRecord) {
    guard isDue(Subject(layer: layer.id, leg: failure.leg, outcome: failure.outcome)) else { return }
    let (what, leg) = (layer.owner.description, failure.leg)
    let how = failure.error.kind == .damaged ? "were not what was written" : "could not be read"
    let data: [String: JSONValue] = [
      "layer": .string(layer.id), "leg": .string(leg.rawValue), "offsetBytes": .integer(failure.range.lowerBound),
      "countBytes": .integer(Int64(failure.range.count)), "reason": .string(failure.error.description),
      "healed": .bool(failure.outcome == .healed),
    ]
    func publish(_ kind: StorageAlert, _ message: String) {
      let severity = kind == .blocksLost ? Severity.critical : kind == .readFailed ? .error : .warning
      environment.publish(severity, kind.rawValue, layer.owner.name, message, data)
    }
    switch failure.outcome {
    case .healed:
      publish(
        .blocksRepaired,
        """
        \(failure.range.count) bytes of \(what) \(how) on leg \(leg); they were answered from leg \(leg.other), and \
        written again from it. A disk that does this again should be replaced.
        """)
    case .answered:
      publish(
        .readFailed,
        """
        \(failure.range.count) bytes of \(what) \(how) on leg \(leg); they were answered from leg \(leg.other), and \
        could not be written again. Look at the disk of I/O module \(leg).
        """)
    case .lost:
      publish(
        .blocksLost,
        """
        \(failure.range.count) bytes of \(what) \(how) on any leg; the read failed. Restore what they hold from a backup, \
        or write it again.
        """)
    }
  }

  private func isDue(_ subject: Subject) -> Bool {
    told.withLock { told in
      let now = ContinuousClock.now
      told = told.filter { now - $0.value < StorageLimits.readAlertInterval }
      guard told[subject] == nil else { return false }
      told[subject] = now
      return true
    }
  }
}

extension LayerRecord.Owner: CustomStringConvertible {
  /// Its name alone.
  var name: String {
    switch self {
    case .volume(let volume): volume.rawValue
    case .image(let image): image.rawValue
    }
  }

  /// What it is, and its name.
  var description: String {
    switch self {
    case .volume(let volume): "volume \(volume)"
    case .image(let image): "image \(image)"
    }
  }
}
