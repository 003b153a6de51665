import Glibc
import BlockLayers
import Logging
import Primitives
import RPC
import StorageAPI
import VHD

/// What is done to the files of layers, each on all legs. All functions block.
final class LayerStore: Sendable {
  let files: LegFiles
  let legs: DataLegs
  let pace: ResyncPace
  let logs: MetadataLogs
  let logger: Logger

  init(files: LegFiles, legs: DataLegs, pace: ResyncPace, logs: MetadataLogs, logger: Logger) {
    self.files = files
    self.legs = legs
    self.pace = pace
    self.logs = logs
    self.logger = logger
  }

  // MARK: Layers

  /// The layers of a chain, open: the topmost to be written, the others to be read.
  func open(_ chain: Chain, tracker: ChangeTracker? = nil) throws(RPCError) -> VolumeStack {
    let opened = try open(chain.layers, writable: 0..<1)
    guard let top = opened.first else { throw Complaint.internalError("volume \(chain.volume.name) has no layer") }
    return VolumeStack(top: top.device, opened: opened, tracker: tracker)
  }

  /// Copies what the topmost layer holds into the one below it. Returns how many bytes that were.
  func commit(_ chain: Chain) throws(RPCError) -> Int64 {
    let opened = try open(chain.layers, writable: 0..<2)
    defer { for layer in opened { layer.close() } }
    guard opened.count > 1 else { throw Complaint.noUndoLayer(chain.volume.name) }
    do throws(BlockError) {
      return try Self.fold(opened[0].device, into: opened[1].device) ?? 0
    } catch {
      throw StorageService.complaint(about: error, while: "folding the undo layer of volume \(chain.volume.name)")
    }
  }

  /// The layers from the topmost down, open: those at the positions of `writable` to be written, the others to be read.
  func open(_ layers: [LayerRecord], writable: Range<Int>) throws(RPCError) -> [OpenLayer] {
    var opened: [OpenLayer] = []
    for (index, layer) in layers.enumerated().reversed() {
      do throws(RPCError) {
        opened.insert(try open(layer, over: opened.first, isReadOnly: !writable.contains(index)), at: 0)
      } catch {
        for layer in opened { layer.close() }
        throw error
      }
    }
    return opened
  }

  // MARK: Legs

  /// Does the same on each leg that is written. A leg on which it fails is dropped as long as another goes on.
  ///
  /// Throws `outOfSpace` when no leg has space, `legUnavailable` when it worked on none that is in step.
  func onEachLeg(_ what: String, _ body: (LegID) throws(LegFileError) -> Void) throws(RPCError) {
    var failures: [LegFileError] = []
    var done = 0
    let inStep = legs.inStep
    for leg in legs.written {
      do throws(LegFileError) {
        if legs.isShot(leg) { throw LegFileError(leg: leg, action: "use", path: files.root(of: leg), code: ENODEV) }
        try byEitherPath(leg, body)
        if inStep.contains(leg) { done += 1 }
      } catch {
        failures.append(error)
      }
    }
    guard done > 0 else {
      let counting = failures.filter { inStep.contains($0.leg) }
      if !counting.isEmpty, counting.allSatisfy(\.isFull) { throw Complaint.outOfSpace(what) }
      throw Complaint.legUnavailable(failures.first.map { "\($0)" } ?? "none is in step")
    }
    for failure in failures { try legs.lose(failure.leg, reason: failure.description) }
  }

  /// All that is done to the files of a leg may be done again.
  private func byEitherPath(_ leg: LegID, _ body: (LegID) throws(LegFileError) -> Void) throws(LegFileError) {
    do throws(LegFileError) { try body(leg) } catch {
      guard files.takeOtherPath(after: error) else { throw error }
      try body(leg)
    }
  }

  /// Gives a layer's file a second name.
  func link(_ old: LayerRecord, as new: LayerRecord) throws(RPCError) {
    let inStep = legs.inStep
    try onEachLeg("the image") { leg throws(LegFileError) in
      do throws(LegFileError) {
        try files.link(old.path, to: new.path, on: leg)
      } catch {
        // A leg that is brought into step may not have the file yet; it gets it under the new name.
        guard error.code == ENOENT, !inStep.contains(leg) else { throw error }
      }
    }
  }

  /// Removes what is on a leg and not among these files.
  func removeOthers(than known: Set<String>, on leg: LegID) throws(LegFileError) {
    for path in try files.list(on: leg) where !known.contains(path) { try files.remove(path, on: leg) }
  }

  /// Length of a layer's file, in bytes.
  func length(_ layer: LayerRecord) -> Int64 {
    legs.inStep.first.map { files.length(layer.path, on: $0) } ?? 0
  }

  /// Whether a leg has the file of a layer.
  func exists(_ layer: LayerRecord, on leg: LegID) -> Bool { access(files.path(layer.path, on: leg), F_OK) == 0 }

  /// Copies what the leg that receives misses of a layer's file, while that is read and written. Returns how many bytes
  /// that were.
  ///
  /// - Parameter progress: told bytes done and bytes in all.
  func copy(
    _ layer: LayerRecord, to leg: LegID, progress: (_ done: Int64, _ total: Int64) -> Void
  ) throws(BlockError) -> Int64 {
    let file = try legs.openReceiving(layer, leg)
    defer { legs.close(layer) }
    var copied: Int64 = 0
    var run = pace.run()
    _ = try file.resync(leg) { done, total in
      copied = done
      progress(done, total)
      run.paced(done)
      return true
    }
    do throws(LegFileError) { try files.sync(layer.path, on: leg) } catch {
      throw BlockError.system(error.code, error.description)
    }
    return copied
  }

  /// Makes a layer's file on the second leg equal to the first's where they may differ. Returns how many bytes were
  /// compared and how many copied; nil when there are no two legs.
  func equalize(_ layer: LayerRecord) throws(BlockError) -> Comparison? {
    let file = try legs.open(layer)
    defer { legs.close(layer) }
    var compared: Int64 = 0
    var run = pace.run()
    let repaired = try file.equalize { done, _ in
      compared = done
      run.paced(done)
      return true
    }
    return repaired.map { Comparison(comparedBytes: compared, repairedBytes: $0) }
  }

  /// How a turn of a scrub ended.
  struct ScrubTurn {
    var layer: ScrubbedLayer
    /// Whether the scrub is to end.
    var isEnded = false
    /// With what it failed, after what was found.
    var failure: BlockError?
  }

  /// Looks for what changed on the disks in a layer's file, and repairs it, for no longer than one turn: others want the
  /// thread, too. Less is done where there are no two legs.
  ///
  /// - Parameter goOn: told bytes done of the file; false ends the scrub.
  func scrub(
    _ layer: LayerRecord, from start: ScrubbedLayer, goOn: (_ done: Int64) -> Bool
  ) throws(BlockError) -> ScrubTurn {
    let file = try legs.openIfThere(layer)
    defer { legs.close(layer) }
    let end = ContinuousClock.now + StorageLimits.scrubTurn
    var turn = ScrubTurn(layer: start)
    var run = pace.run(from: start.doneBytes)
    do throws(BlockError) {
      turn.layer.isWhole = try file.scrub(from: start.doneBytes, into: &turn.layer.report) { done, total, _ in
        turn.layer.doneBytes = done
        run.paced(done)
        turn.isEnded = !goOn(done)
        return !turn.isEnded && (ContinuousClock.now < end || done == total)
      }
    } catch {
      turn.failure = error
    }
    return turn
  }
}

/// What a comparison of legs did.
struct Comparison: Sendable, Equatable {
  var comparedBytes: Int64 = 0
  var repairedBytes: Int64 = 0

  static func += (sum: inout Comparison, other: Comparison) {
    sum.comparedBytes += other.comparedBytes
    sum.repairedBytes += other.repairedBytes
  }
}
