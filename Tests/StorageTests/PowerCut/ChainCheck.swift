import Glibc
import Primitives
import VHD

@testable import BlockLayers
@testable import StorageCore

/// What must hold after every cut.
struct Violation: Error, CustomStringConvertible {
  var description: String
}

extension ChainHost {
  /// Starts the service on what a cut left, and looks whether all is as it must be.
  ///
  /// - Returns: what the sectors of the volume hold.
  func check(_ generator: inout SeededGenerator) throws -> [UInt64] {
    // As long as the legs were not compared only the first one counts: what is written then fits that one's structures.
    let counting = Array(record.legsDiffer ? record.inStep.prefix(1) : record.inStep.suffix(1))
    try recover()
    guard !record.layers.isEmpty else {
      for leg in record.inStep where !disks.names(on: leg).isEmpty {
        throw Violation(description: "files are left on \(leg.rawValue): \(disks.names(on: leg))")
      }
      return [UInt64](repeating: 0, count: record.sectors)
    }
    if isSpoiled { _ = try scrub() }
    // The leg that is read is looked at by opening it, too.
    try requireStructures(on: generator.next() % 3 == 0 ? Array(record.inStep.prefix(1)) : counting)
    let content = try requireContent("when it is opened")
    // What is there now was there before: it no longer changes.
    note { $0 = VolumeModel(exactly: content) }
    try requireHotDifferences()
    try compareLegs()
    try requireEqualLegs()
    let hadJobs = record.commit != nil || record.merge != nil
    if hadJobs {
      try finishJobs()
      guard try requireContent("after its jobs") == content else { throw Violation(description: "its jobs changed it") }
    }
    if record.inStep.count == 1, Int.random(in: 0..<3, using: &generator) == 0 {
      try rejoin()
      try requireEqualLegs()
    }
    if hadJobs || generator.next() % 8 == 0 {
      try closeStack()
      try requireStructures(on: record.inStep)
      try requireEqualLegs()
    }
    return content
  }

  /// Each copy of each layer is sound by itself.
  private func requireStructures(on legs: [LegID]) throws {
    for leg in legs {
      for layer in record.layers {
        let file = try disks.open(ChainRecord.names(of: layer.id)[0], on: leg)
        let report = try VHDLayer.verify(file)
        guard report.isSound, !report.findings.contains(where: { $0.kind == .bitmapIncomplete }) else {
          throw Violation(description: "layer \(layer.id) on \(leg.rawValue): \(report.findings)")
        }
      }
    }
  }

  /// Each sector of the volume and of its snapshots holds what it may.
  private func requireContent(_ when: String) throws -> [UInt64] {
    let content = try SectorContent(of: try top(), layout, sectors: record.sectors)
    if let violation = record.model.violation(in: content) { throw Violation(description: "\(violation) \(when)") }
    for layer in stack where layer.device.identity != ChainRecord.identity(of: layer.id) {
      throw Violation(description: "the file of layer \(layer.id) is \(layer.device.identity) \(when)")
    }
    for (layer, expected) in record.frozen.sorted(by: { $0.key < $1.key }) {
      guard let device = try device(of: layer) else { throw Violation(description: "snapshot \(layer) is gone") }
      let content = try SectorContent(of: device, layout, sectors: expected.count)
      if let violation = VolumeModel(exactly: expected).violation(in: content) {
        throw Violation(description: "snapshot \(layer): \(violation) \(when)")
      }
    }
    return content.numbers ?? []
  }

  /// The legs differ only where their records say so.
  private func requireHotDifferences() throws {
    guard record.inStep.count == 2 else { return }
    for layer in record.layers {
      guard let images = images(of: layer.id), !DiskImage.areEqual(images.0, images.1) else { continue }
      guard record.legsDiffer else { throw Violation(description: "the legs differ in layer \(layer.id), unmarked") }
      let extents = try with(layer.id) { (file) throws(BlockError) in file.unequalExtents }
      guard let extents else { continue }
      let size = max(images.0.size, images.1.size)
      for extent in 0...size / Int(IntentRecord.extentBytes) where !extents.contains(extent) {
        let range = IntentRecord.bytes(of: extent, in: Int64(size))
        if !DiskImage.areEqual(images.0, images.1, in: Int(range.lowerBound)..<Int(range.upperBound)) {
          throw Violation(description: "the legs differ in extent \(extent) of layer \(layer.id), which is cold")
        }
      }
    }
  }

  func requireEqualLegs() throws {
    guard record.inStep.count == 2 else { return }
    for layer in record.layers {
      guard let images = images(of: layer.id) else { throw Violation(description: "layer \(layer.id) is missing") }
      guard DiskImage.areEqual(images.0, images.1) else {
        throw Violation(description: "the legs differ in layer \(layer.id) after they were compared")
      }
    }
  }

  /// Has a bit of a sector of data change on a leg. False where none was found.
  func spoil(_ layer: Int, on leg: LegID, using generator: inout SeededGenerator) -> Bool {
    guard let images = images(of: layer) else { return false }
    let image = leg == .io0 ? images.0 : images.1
    for _ in 0..<32 {
      let start = Int.random(in: 0..<image.size, using: &generator)
      guard let data = image.nextData(at: start) else { continue }
      let sector = Int.random(in: data, using: &generator) / DiskImage.sector
      // Structures are never filled with one number, but for what is all ones.
      guard let bytes = image.data(of: sector), memcmp(bytes, bytes + 8, DiskImage.sector - 8) == 0,
        bytes.load(as: UInt64.self) != .max
      else { continue }
      disks.flip(ChainRecord.names(of: layer)[0], on: leg, at: sector * DiskImage.sector + 100)
      isSpoiled = true
      return true
    }
    return false
  }

  private func images(of layer: Int) -> (DiskImage, DiskImage)? {
    let name = ChainRecord.names(of: layer)[0]
    guard let one = disks.node(name, on: .io0), let other = disks.node(name, on: .io1) else { return nil }
    return (one.current, other.current)
  }
}
