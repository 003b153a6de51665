import BlockLayers
import Primitives
import RPC
import StorageAPI
import VHD

/// The structures of layers' files. All functions block.
extension LayerStore {
  /// Makes a layer's file larger. Nobody may be writing it.
  func grow(_ layer: LayerRecord, to sizeBytes: Int64) throws(RPCError) {
    do throws(BlockError) {
      let file = try legs.open(layer)
      defer { legs.close(layer) }
      try logs.settle(layer, in: file)
      // After a kill there may be a block over the footer that no entry refers to.
      if try VHDStructure(file).usedCopy { _ = try VHDLayer.repair(file, .dropGarbage) }
      // One that was cut off may have made it larger than is wanted now; what the volume does not have is never shown.
      if try VHDStructure(file).size <= sizeBytes { try VHDLayer.grow(file, to: sizeBytes) }
    } catch {
      if error.kind == .damaged { throw Complaint.damaged("Layer \(layer.id)", "\(error)", path: layer.path) }
      throw StorageService.complaint(about: error, while: "enlarging layer \(layer.path)")
    }
  }

  /// Makes the lower one of two layers as large as the upper one, where it is smaller.
  func growAsNeeded(_ lower: LayerRecord, for upper: LayerRecord) throws(RPCError) {
    let sizes: (Int64, Int64)
    do throws(BlockError) {
      let (one, other) = (try legs.open(lower), try legs.open(upper))
      defer {
        legs.close(lower)
        legs.close(upper)
      }
      sizes = (try VHDStructure(one).size, try VHDStructure(other).size)
    } catch {
      throw StorageService.complaint(about: error, while: "merging layer \(upper.path)")
    }
    if sizes.0 < sizes.1 { try grow(lower, to: sizes.1) }
  }

  /// Verifies the files of layers on every leg in step, each leg's for itself.
  func check(_ layers: [LayerRecord]) throws(RPCError) -> CheckVolume.Result {
    var result = CheckVolume.Result(isSound: true, layers: 0, findings: [])
    for layer in layers { try settle(layer) }
    for leg in legs.inStep {
      for layer in layers {
        do throws(BlockError) {
          let report = try verify(layer, on: leg)
          result.layers += 1
          result.isSound = result.isSound && report.isSound
          for finding in report.findings where result.findings.count < VHDReport.limit {
            result.findings.append(
              LayerFinding(
                layer: layer.id, leg: leg, kind: finding.kind.rawValue, offsetBytes: finding.offset,
                message: finding.message))
          }
        } catch {
          throw StorageService.complaint(about: error, while: "checking layer \(layer.path) on leg \(leg)")
        }
      }
    }
    return result
  }

  /// Enters into a layer's file what an earlier instance knew of it.
  private func settle(_ layer: LayerRecord) throws(RPCError) {
    do throws(BlockError) {
      let file = try legs.open(layer)
      defer { legs.close(layer) }
      try logs.settle(layer, in: file)
    } catch {
      throw StorageService.complaint(about: error, while: "checking layer \(layer.path)")
    }
  }

  private func verify(_ layer: LayerRecord, on leg: LegID) throws(BlockError) -> VHDReport {
    let path = files.path(layer.path, on: leg)
    return try files.calls.run(on: leg, orElse: BlockError(.io, "leg \(leg) does not answer")) {
      () throws(BlockError) in
      let file = try PosixFile(path: path, mode: .read)
      defer { file.close() }
      return try VHDLayer.verify(file)
    }
  }
}
