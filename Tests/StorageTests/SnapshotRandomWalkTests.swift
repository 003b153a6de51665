import BlockLayers
import Foundation
import Primitives
import RPC
import StorageAPI
import Testing

@testable import StorageCore

/// Random operations on a volume with snapshots, with kills of the service between and under them, against a model.
///
/// `FTVS_SEED` replays a seed; `FTVS_WALKS` sets the number of walks.
@Suite(.timeLimit(.minutes(10))) struct SnapshotRandomWalkTests {
  static let seed = getenv("FTVS_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1
  static let walks = getenv("FTVS_WALKS").flatMap { Int(String(cString: $0)) } ?? 2

  /// What the volume must hold.
  struct Model {
    var slots = [UInt8](repeating: 0, count: 12)
    var snapshots: [SnapshotName: [UInt8]] = [:]
    var beforeUndo: [UInt8]?
    var names = 0
  }

  /// The offset of a slot: some share a block of the format, some do not.
  private func offset(_ slot: Int) -> Int64 { Int64(slot % 4) * 4096 + Int64(slot / 4) * (3 << 20) }

  private func check(_ storage: Instance, _ model: Model, _ comment: Comment) async throws {
    for (slot, byte) in model.slots.enumerated() {
      let result = try await storage.call(
        ReadVolume.self, .init(volume: "disk", offsetBytes: offset(slot), countBytes: 4096))
      let expected = [UInt8](repeating: byte, count: 4096)
      #expect(StorageService.decode(base64: result.data).map(Array.init) == expected, "slot \(slot), \(comment)")
    }
  }

  private func write(_ storage: Instance, _ model: inout Model, _ random: inout SeededGenerator) async throws {
    let session = Bool.random(using: &random) ? try await storage.export("disk") : nil
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      let (slot, byte) = (Int.random(in: 0..<12, using: &random), UInt8.random(in: 1...255, using: &random))
      let bytes = [UInt8](repeating: byte, count: 4096)
      if let session {
        try session.write(bytes, at: offset(slot))
        try session.flush()
      } else {
        _ = try await storage.call(
          WriteVolume.self, .init(volume: "disk", offsetBytes: offset(slot), data: Data(bytes).base64EncodedString()))
      }
      model.slots[slot] = byte
    }
    session?.close()
  }

  private func step(_ storage: Instance, _ model: inout Model, _ random: inout SeededGenerator) async throws -> String {
    let name = model.snapshots.keys.sorted().randomElement(using: &random)
    switch Int.random(in: 0..<9, using: &random) {
    case 0, 1:
      guard model.beforeUndo == nil, model.snapshots.count < 6 else { return "nothing" }
      model.names += 1
      let name = SnapshotName(unchecked: "s\(model.names)")
      try await storage.snapshot("disk", name)
      model.snapshots[name] = model.slots
      return "snapshot \(name)"
    case 2:
      guard let name else { return "nothing" }
      try await storage.revert("disk", to: name)
      model.slots = model.snapshots[name] ?? []
      model.beforeUndo = nil
      return "revert \(name)"
    case 3:
      guard let name else { return "nothing" }
      _ = try await storage.call(DeleteSnapshot.self, .init(volume: "disk", snapshot: name))
      model.snapshots[name] = nil
      return "delete \(name)"
    case 4:
      _ = try await storage.call(EnableUndo.self, .init(volume: "disk"))
      model.beforeUndo = model.beforeUndo ?? model.slots
      return "enable undo"
    case 5:
      guard let before = model.beforeUndo else { return "nothing" }
      if Bool.random(using: &random) {
        _ = try await storage.call(CommitUndo.self, .init(volume: "disk"))
      } else {
        _ = try await storage.call(DiscardUndo.self, .init(volume: "disk"))
        model.slots = before
      }
      model.beforeUndo = nil
      return "end undo"
    default:
      try await write(storage, &model, &random)
      return "write"
    }
  }

  @Test(arguments: 0..<walks) func `the volume and its snapshots hold what the model says`(_ walk: Int) async throws {
    var random = SeededGenerator(seed: Self.seed &+ UInt64(walk) &* 7919)
    let host = try TestHost()
    var storage = try await host.start()
    try await storage.makeImage("base", text: "")
    try await storage.create("disk", size: nil, image: "base")
    var model = Model()
    for number in 0..<40 {
      var comment = Comment(rawValue: "FTVS_SEED=\(Self.seed), walk \(walk), step \(number)")
      // A job may be under way or not when the next operation comes, or the kill.
      if Int.random(in: 0..<6, using: &random) == 0 {
        await storage.kill()
        storage = try await host.start()
      } else {
        do {
          let done = try await step(storage, &model, &random)
          comment = Comment(rawValue: "\(comment.rawValue), \(done)")
        } catch let error as RPCError where error.kind == "volumeInUse" {
          try await storage.allJobsEnded()
        }
      }
      try await check(storage, model, comment)
    }
    try await storage.allJobsEnded()
    for (name, slots) in model.snapshots.sorted(by: { $0.key < $1.key }) {
      try await storage.revert("disk", to: name)
      model.slots = slots
      try await check(storage, model, "FTVS_SEED=\(Self.seed), walk \(walk), snapshot \(name)")
    }
    try await storage.requireNoStrayFiles("FTVS_SEED=\(Self.seed), walk \(walk)")
    await storage.stop()
  }
}
