import BlockLayers
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
        let device = try Self.device(of: layer, in: file, over: below, isReadOnly: isReadOnly)
        return OpenLayer(record: layer, device: device, legs: legs)
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
    of layer: LayerRecord, in file: any ByteFile, over parent: VHDParent?, isReadOnly: Bool
  ) throws(BlockError) -> VHDLayer {
    let device = try VHDLayer.open(file, parent: parent, readOnly: isReadOnly)
    guard device.identity.uuid.description == layer.id else {
      throw BlockError(.damaged, "\(layer.path) holds layer \(device.identity.uuid)")
    }
    return device
  }

  /// Copies what a layer holds into its parent and makes that durable. Returns how many bytes that were, at most.
  static func fold(_ child: VHDLayer, into parent: VHDLayer) throws(BlockError) -> Int64 {
    _ = try child.commit(into: parent)
    return child.allocatedBytes
  }
}
