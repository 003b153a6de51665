import BlockLayers
import Glibc
import Primitives
import RPC
import StorageAPI
import VHD

/// What the store knows of the format of layers.
extension LayerStore {
  /// Makes the file of a new layer on all legs, over the layers `parents` (the nearest first) or empty. Durable with its
  /// name when it returns.
  func make(_ layer: LayerRecord, sizeBytes: Int64, over parents: [LayerRecord]) throws(RPCError) {
    guard let bytes = LayerID.bytes(of: layer.id), let uuid = VHDUUID(bytes: bytes) else {
      throw Complaint.internalError("\(layer.id) is no identifier of a layer")
    }
    var identity = VHDIdentity.new()
    identity.uuid = uuid
    let reference = try parents.first.map { parent throws(RPCError) in try self.reference(to: parent, from: layer) }
    do throws(BlockError) {
      let file = try legs.create(layer)
      defer { legs.close(layer) }
      if let reference {
        try VHDLayer.createDifferencing(file, size: sizeBytes, parent: reference, identity: identity)
      } else {
        try VHDLayer.createDynamic(file, size: sizeBytes, identity: identity)
      }
    } catch {
      throw StorageService.complaint(about: error, while: "making layer \(layer.path)")
    }
    try onEachLeg("the layer") { leg throws(LegFileError) in try files.sync(layer.path, on: leg) }
  }

  private func reference(to parent: LayerRecord, from layer: LayerRecord) throws(RPCError) -> VHDParentReference {
    let name = LegFiles.name(of: parent.path)
    let relative =
      LegFiles.directory(of: parent.path) == LegFiles.directory(of: layer.path) ? name : "../../\(parent.path)"
    do throws(BlockError) {
      let file = try legs.open(parent)
      defer { legs.close(parent) }
      return VHDParentReference(identity: try VHDStructure(file).identity, name: name, relativePath: relative)
    } catch {
      throw Complaint.damaged("Layer \(parent.id)", "\(error)", path: parent.path)
    }
  }

  /// Opens one layer on the open one below it.
  func open(_ layer: LayerRecord, over parent: OpenLayer?, isReadOnly: Bool) throws(RPCError) -> OpenLayer {
    do throws(BlockError) {
      let below = parent.map { VHDParent($0.device) }
      let file = try legs.open(layer) { copy throws(BlockError) in
        _ = try Self.device(of: layer, in: copy, over: below, isReadOnly: true)
      }
      do throws(BlockError) {
        try logs.settle(layer, in: file)
        let log = isReadOnly ? nil : logs.begin(layer)
        let device = try Self.device(of: layer, in: file, over: below, isReadOnly: isReadOnly, log: log)
        return OpenLayer(record: layer, device: device, legs: legs, logs: logs)
      } catch {
        legs.close(layer)
        throw error
      }
    } catch {
      switch error.kind {
      case .damaged, .parentMismatch, .notFound, .tooLarge, .misuse:
        throw Complaint.damaged("Layer \(layer.id)", "\(error)", path: layer.path)
      default:
        throw StorageService.complaint(about: error, while: "opening layer \(layer.path)")
      }
    }
  }

  private static func device(
    of layer: LayerRecord, in file: any ByteFile, over parent: VHDParent?, isReadOnly: Bool, log: MetadataLog? = nil
  ) throws(BlockError) -> VHDLayer {
    let device = try VHDLayer.open(file, parent: parent, readOnly: isReadOnly, log: log)
    guard device.identity.uuid.description == layer.id else {
      throw BlockError(.damaged, "\(layer.path) holds layer \(device.identity.uuid)")
    }
    return device
  }

  /// Copies what a layer holds into its parent and makes that durable.
  ///
  /// - Parameter progress: told bytes done and in all after each piece; false cancels.
  /// - Returns: how many bytes that were, at most; nil when cancelled.
  static func fold(
    _ child: VHDLayer, into parent: VHDLayer,
    progress: (_ done: Int64, _ total: Int64) -> Bool = { _, _ in true }
  ) throws(BlockError) -> Int64? {
    try child.commit(into: parent, progress: progress) ? child.allocatedBytes : nil
  }

  /// Gives the file of a layer the identity of the one above it, which was folded into it. Who has it open to read does
  /// not notice. Durable when it returns; safe to repeat, also after it was cut off or the file has its new name.
  func giveIdentity(of upper: LayerRecord, to lower: LayerRecord) throws(RPCError) {
    // Where it has its new name on one leg already, it had its identity before. A leg that has neither is about to be
    // lost, and says nothing.
    if legs.inStep.contains(where: { !exists(lower, on: $0) && exists(upper, on: $0) }) { return }
    do throws(BlockError) {
      let upperFile = try legs.open(upper)
      defer { legs.close(upper) }
      let identity = try VHDStructure(upperFile).identity
      let file = try legs.open(lower)
      defer { legs.close(lower) }
      try logs.settle(lower, in: file)
      try VHDLayer.takeIdentity(identity, in: file)
    } catch {
      throw StorageService.complaint(about: error, while: "merging layer \(upper.path)")
    }
    // They describe what will no longer be there.
    try onEachLeg("merging layers") { leg throws(LegFileError) in try files.removeCompanions(of: upper.path, on: leg) }
  }

  /// Gives the file of a layer the name of the one above it, whose identity it has. Nobody may have them open. Durable
  /// when it returns; safe to repeat.
  func replace(_ upper: LayerRecord, by lower: LayerRecord) throws(RPCError) {
    let inStep = legs.inStep
    try onEachLeg("merging layers") { leg throws(LegFileError) in
      try requireIdentity(of: upper, in: lower, on: leg)
      try files.rename(lower.path, to: upper.path, on: leg, isWhole: inStep.contains(leg))
    }
  }

  /// Nothing could be read any longer if a file took the place of another without its identity.
  private func requireIdentity(
    of upper: LayerRecord, in lower: LayerRecord, on leg: LegID
  ) throws(LegFileError) {
    let path = files.path(lower.path, on: leg)
    guard access(path, F_OK) == 0 else { return }
    let identity = try? VHDStructure(PosixFile(path: path, mode: .read)).identity
    guard identity?.uuid.description == upper.id else {
      throw LegFileError(leg: leg, action: "merge", path: path, code: EUCLEAN)
    }
  }
}
