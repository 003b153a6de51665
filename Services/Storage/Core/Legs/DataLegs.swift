import BlockLayers
import ControlState
import Glibc
import Logging
import Primitives
import RPC
import ServiceAPI
import Synchronization

/// Which legs hold the layers, and the files of layers that are open, each on all of them.
///
/// `ControlState` decides which legs count; here every open file follows. A leg that is brought into step *receives*:
/// it is written like the others from the first moment on, and read only when all was copied to it.
///
/// `open`, `close`, `takeOut` and the steps of a resync block.
final class DataLegs: @unchecked Sendable {
  // `open` and `receiving` are touched only with `monitor` held; all else is immutable and Sendable.
  private struct OpenFile {
    var file: MirroredFile
    var users: Int
  }

  private struct Receiving {
    var leg: LegID
    /// Whether all was copied.
    var isComplete = false
  }

  private let state: ControlState
  private let environment: StorageEnvironment
  private let files: LegFiles
  private let calls: LegCalls
  private let marks: [LegID: ShotMark]
  private let readAlerts: ReadAlerts
  private let monitor = Monitor()
  private var openFiles: [String: OpenFile] = [:]
  private var receiving: Receiving?

  init(state: ControlState, environment: StorageEnvironment, files: LegFiles) {
    self.state = state
    self.environment = environment
    self.files = files
    calls = files.calls
    marks = Dictionary(
      uniqueKeysWithValues: environment.shotMarks.map { leg, path in
        (leg, ShotMark(path: path, paths: files.paths[leg]))
      })
    readAlerts = ReadAlerts(environment)
  }

  /// Legs that hold all that was acknowledged, the one that is read first.
  var inStep: [LegID] {
    let known = state.legs()
    return LegID.allCases.filter { leg in known.contains { $0.leg == leg && $0.state == .inStep } }
  }

  /// Whether two legs hold all that was acknowledged.
  var areBothInStep: Bool { state.legs().count { $0.state == .inStep } == LegID.allCases.count }

  /// Legs on which files are made and removed: those in step, and the one that receives.
  var written: [LegID] {
    let inStep = inStep
    guard let receiving = monitor.locked({ receiving?.leg }), !inStep.contains(receiving) else { return inStep }
    return inStep + [receiving]
  }

  /// Whether the module of a leg was isolated.
  func isShot(_ leg: LegID) -> Bool {
    marks[leg]?.isThere ?? false
  }

  // MARK: Losing a leg

  /// Has the loss of a leg made durable, so that what it misses may be acknowledged. Blocks.
  ///
  /// Throws when it cannot be: the leg is the last one, or the state cannot be written.
  func lose(_ leg: LegID, reason: String) throws(RPCError) {
    environment.logger.error("leg failed", metadata: ["leg": "\(leg)", "reason": "\(reason)"])
    try waitBlocking { () throws(RPCError) in try await self.state.dropLeg(leg, reason: reason) }
  }

  /// Why a leg is dropped, for people.
  private func reason(_ error: BlockError, on leg: LegID) -> String {
    switch error.kind {
    case .shot: marks[leg]?.isShot == true ? "its I/O module is out of service" : "no path to it is left"
    case .noSpace: "it is full"
    default: error.description
    }
  }

  /// Has every open file let go of a leg that no longer counts. Does nothing when it is back meanwhile.
  func takeOut(_ leg: LegID) {
    monitor.locked {
      guard let status = state.legs().first(where: { $0.leg == leg }), status.state == .lost || status.state == .stale
      else { return }
      letGo(leg)
    }
  }

  private func letGo(_ leg: LegID) {
    if receiving?.leg == leg { receiving = nil }
    for open in openFiles.values { open.file.drop(leg) }
  }

  // MARK: Open files

  /// Throws when a leg's copy of a file is not what it should be.
  typealias Check = (any ByteFile) throws(BlockError) -> Void

  /// The file of a layer on all legs, which `close` gives back. One object for all who use it.
  ///
  /// - Parameter check: is asked of each leg's copy. A leg whose copy fails is dropped, as long as the other's is good:
  ///   nobody would notice before the good one is gone.
  func open(_ layer: LayerRecord, check: Check? = nil) throws(BlockError) -> MirroredFile {
    try monitor.locked { () throws(BlockError) in
      if let open = openFiles[layer.id] {
        openFiles[layer.id]?.users += 1
        return open.file
      }
      let file = try mirror(layer, mode: .readWrite, check)
      openFiles[layer.id] = OpenFile(file: file, users: 1)
      return file
    }
  }

  /// As `open`, but where a leg lacks the file it throws: for whoever does not know whether the layer is still there.
  func openIfThere(_ layer: LayerRecord) throws(BlockError) -> MirroredFile {
    try monitor.locked { () throws(BlockError) in
      if openFiles[layer.id] == nil {
        openFiles[layer.id] = OpenFile(file: try mirror(layer, mode: .readWrite, nil, mayLose: false), users: 0)
      }
      openFiles[layer.id]?.users += 1
      guard let open = openFiles[layer.id] else { throw BlockError(.notFound, layer.path) }
      return open.file
    }
  }

  /// Makes the file of a new layer on all legs, and opens it.
  func create(_ layer: LayerRecord) throws(BlockError) -> MirroredFile {
    try monitor.locked { () throws(BlockError) in
      let file = try mirror(layer, mode: .create, nil)
      openFiles[layer.id] = OpenFile(file: file, users: 1)
      return file
    }
  }

  /// Gives back what `open` or `create` returned. Does not flush.
  func close(_ layer: LayerRecord) {
    monitor.locked {
      guard let open = openFiles[layer.id] else { return }
      if open.users > 1 {
        openFiles[layer.id]?.users -= 1
      } else {
        openFiles[layer.id] = nil
        open.file.close()
      }
    }
  }

  private func mirror(
    _ layer: LayerRecord, mode: PosixFile.Mode, _ check: Check?, mayLose: Bool = true
  ) throws(BlockError) -> MirroredFile {
    let inStep = inStep
    let isNew = mode == .create
    var members: [MirroredFile.Leg] = []
    var failures: [(LegID, BlockError)] = []
    for leg in inStep {
      do throws(BlockError) { members.append(try member(layer, leg, mode)) } catch { failures.append((leg, error)) }
    }
    if let check { failures += Self.setAside(&members, check) }
    guard !members.isEmpty, failures.isEmpty || mayLose else {
      for member in members { member.close() }
      throw failures.first?.1 ?? BlockError(.io, "no leg holds \(layer.path)")
    }
    for (leg, error) in failures {
      do throws(RPCError) { try lose(leg, reason: reason(error, on: leg)) } catch {
        throw BlockError(.io, error.message)
      }
    }
    let file = try MirroredFile(
      name: layer.path, legs: members, isNew: isNew, calls: calls,
      onReadError: { [readAlerts] failure in readAlerts.tell(of: failure, in: layer) }
    ) { [weak self] (leg, error) throws(BlockError) in
      guard let self else { throw error }
      do throws(RPCError) { try self.lose(leg, reason: self.reason(error, on: leg)) } catch {
        throw BlockError(.io, error.message)
      }
    }
    // What is wrong with a leg's copy does not lie in the extents that it misses.
    if failures.contains(where: { $0.1.kind != .shot }) { try file.distrustLostLeg() }
    if let receiving, !inStep.contains(receiving.leg) {
      do throws(BlockError) { try join(receiving, layer, file, isNew: isNew) } catch { giveUp(receiving, after: error) }
    }
    return file
  }

  /// Takes out the legs whose copy fails a check that the other's passes. Where all fail, whoever opens the file says
  /// why.
  private static func setAside(_ members: inout [MirroredFile.Leg], _ check: Check) -> [(LegID, BlockError)] {
    var failures: [(LegID, BlockError)] = []
    guard members.count > 1 else { return failures }
    for member in members {
      do throws(BlockError) { try check(member.file) } catch { failures.append((member.id, error)) }
    }
    guard failures.count < members.count else { return [] }
    for (leg, _) in failures {
      members.first { $0.id == leg }?.close()
      members.removeAll { $0.id == leg }
    }
    return failures
  }

  private func member(
    _ layer: LayerRecord, _ leg: LegID, _ mode: PosixFile.Mode
  ) throws(BlockError) -> MirroredFile.Leg {
    if isShot(leg) { throw BlockError(.shot, "leg \(leg)") }
    if mode == .create {
      do throws(LegFileError) { try files.makeParent(of: layer.path, on: leg) } catch {
        throw BlockError.system(error.code, error.description)
      }
    }
    let file = try files.open(layer.path, on: leg, mode)
    let intent = files.openIntent(of: layer.path, on: leg, isNew: mode == .create)
    let sums = files.openSums(of: layer.path, on: leg, isNew: mode == .create)
    guard let mark = marks[leg], let paths = files.paths[leg] else {
      return MirroredFile.Leg(id: leg, file: file, intent: intent, sums: sums)
    }
    return MirroredFile.Leg(id: leg, file: file, intent: intent, sums: sums) {
      mark.wasThere
    } takesOtherPath: {
      paths.isThereAnotherDirectory && paths.switchOver(reason: "it did not answer in time")
    }
  }

  /// Looks for paths that were cut while nobody used the leg, and for those that work again. Blocks.
  func watchPaths() {
    for leg in LegID.allCases { _ = isShot(leg) }
    files.probePaths()
  }

  // MARK: Records

  /// Has extents become cold in which nobody writes any longer; to be called now and then.
  func coolDown() {
    let files = monitor.locked { openFiles.values.map(\.file) }
    for file in files {
      do throws(BlockError) { try file.coolDown() } catch {
        environment.logger.warning("a write-intent record was not written", metadata: ["error": "\(error)"])
      }
    }
  }

  // MARK: Receiving

  /// Whether calls on a leg that were given up may still change it.
  func isStuck(_ leg: LegID) -> Bool { calls.areStuck(on: leg) }

  /// Has everything written to a leg from now on, and nothing read from it.
  func beginReceiving(_ leg: LegID) {
    monitor.locked {
      letGo(leg)
      receiving = Receiving(leg: leg)
    }
  }

  /// The file of a layer with the receiving leg among those that are written; `close` gives it back.
  func openReceiving(_ layer: LayerRecord, _ leg: LegID) throws(BlockError) -> MirroredFile {
    let file = try open(layer)
    do throws(BlockError) {
      try monitor.locked { () throws(BlockError) in
        guard let receiving, receiving.leg == leg else { throw BlockError(.io, "leg \(leg) was lost again") }
        if file.state(of: leg) == .absent { try join(receiving, layer, file) }
      }
    } catch {
      close(layer)
      throw error
    }
    return file
  }

  private func join(
    _ receiving: Receiving, _ layer: LayerRecord, _ file: MirroredFile, isNew: Bool = false
  ) throws(BlockError) {
    let target: MirroredFile.Leg
    do throws(BlockError) {
      target = try member(layer, receiving.leg, .create)
    } catch {
      guard error.errno == EEXIST else { throw error }
      target = try member(layer, receiving.leg, .readWrite)
    }
    try file.attach(target, isNew: isNew)
    if receiving.isComplete, !file.setInStep(receiving.leg) {
      throw BlockError(.io, "\(layer.path) differs on leg \(receiving.leg)")
    }
  }

  /// A failure of the receiving leg fails the resync, never what clients do.
  private func giveUp(_ receiving: Receiving, after error: BlockError) {
    environment.logger.error(
      "leg failed while it was brought into step", metadata: ["leg": "\(receiving.leg)", "error": "\(error)"])
    letGo(receiving.leg)
    // It may be about to count: then its loss has to be durable.
    if receiving.isComplete { try? lose(receiving.leg, reason: "\(error)") }
  }

  /// All was copied: from now on the leg's files hold what the others hold. False when the leg was lost meanwhile.
  func completeReceiving(_ leg: LegID) -> Bool {
    monitor.locked {
      guard receiving?.leg == leg else { return false }
      receiving?.isComplete = true
      return openFiles.values.allSatisfy { $0.file.setInStep(leg) }
    }
  }

  /// Ends the reception: the leg counts, or it failed.
  func endReceiving(_ leg: LegID) {
    monitor.locked {
      guard receiving?.leg == leg else { return }
      if inStep.contains(leg) { receiving = nil } else { letGo(leg) }
    }
  }
}
