import BlockLayers
import Synchronization

/// A scrub of a volume or an image: how far it is with each layer, and what it found.
final class ScrubRun: Sendable {
  /// Why it does not go on.
  enum Outcome: Sendable { case whole, oneLeg, ended }

  private struct State {
    var layers: [String: ScrubbedLayer]
    /// As it was made durable.
    var saved: [String: ScrubbedLayer]
  }

  let subject: ScrubSubject
  /// The job that it belongs to; nil where it is the service's own, which keeps nothing before the end.
  let job: Int64?
  private let state: Mutex<State>

  init(_ subject: ScrubSubject, job: Int64? = nil, _ layers: [String: ScrubbedLayer] = [:]) {
    self.subject = subject
    self.job = job
    state = Mutex(State(layers: layers, saved: layers))
  }

  subscript(layer: String) -> ScrubbedLayer {
    state.withLock { $0.layers[layer] ?? ScrubbedLayer(layer: layer) }
  }

  func isWhole(_ layer: String) -> Bool { self[layer].isWhole }

  /// Notes how far a layer is.
  func put(_ layer: ScrubbedLayer) { state.withLock { $0.layers[layer.layer] = layer } }

  /// What was found in all layers.
  var report: ScrubReport {
    state.withLock { $0.layers.values.reduce(into: ScrubReport()) { $0 += $1.report } }
  }

  /// The layers that were not gone through with.
  var unfinished: [ScrubbedLayer] { state.withLock { $0.layers.values.filter { !$0.isWhole } } }

  /// Bytes that were gone through.
  var doneBytes: Int64 { state.withLock { $0.layers.values.reduce(0) { $0 + $1.doneBytes } } }

  /// The same, where this is how far a layer is now.
  func doneBytes(with done: Int64, in layer: String) -> Int64 {
    state.withLock { $0.layers.values.reduce(done) { $0 + ($1.layer == layer ? 0 : $1.doneBytes) } }
  }

  /// Whether there is something that should not be done again, or not be forgotten.
  var isToBeSaved: Bool {
    state.withLock { state in
      state.layers.values.contains { layer in
        let saved = state.saved[layer.layer] ?? ScrubbedLayer(layer: layer.layer)
        return layer.isWhole != saved.isWhole || layer.doneBytes - saved.doneBytes >= StorageLimits.jobPieceBytes
          || layer.report.findings != saved.report.findings
      }
    }
  }

  /// What changed since it was last made durable; it counts as durable from now on.
  func takeUnsaved() -> [ScrubbedLayer] {
    state.withLock { state in
      defer { state.saved = state.layers }
      return state.layers.values.filter { state.saved[$0.layer] != $0 }
    }
  }
}

extension ScrubReport {
  /// Blocks of which something has to be told.
  fileprivate var findings: Int { repairedBlocks.values.reduce(undecidedBlocks + lostBlocks, +) }
}
