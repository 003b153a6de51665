import ControlState
import GRDB
import Primitives
import RPC
import StorageAPI

/// `read:LAYER`: what is read is a layer that nobody writes any longer, and those below it. Other than the name of an
/// image or a snapshot, a layer's identifier never names another content later.
struct ReadExportName: Sendable, Hashable, CustomStringConvertible {
  var layer: String

  private static let prefix = "read:"

  init(layer: String) { self.layer = layer }

  init?(_ text: String) {
    guard text.hasPrefix(Self.prefix) else { return nil }
    let layer = String(text.dropFirst(Self.prefix.count))
    guard LayerID.isWellFormed(layer) else { return nil }
    self.layer = layer
  }

  var description: String { Self.prefix + layer }
}

/// What is read under a `ReadExportName`.
struct ReadSource: Sendable, Equatable {
  enum Kind: Sendable, Equatable {
    case snapshot(SnapshotName, VolumeName)
    case image(ImageName)
  }

  var kind: Kind
  var sizeBytes: Int64

  /// For people.
  var subject: String {
    switch kind {
    case .snapshot(let snapshot, let volume): "snapshot \(snapshot) of volume \(volume)"
    case .image(let image): "image \(image)"
    }
  }

  /// The lock under which its layers are opened and removed.
  var lock: String {
    switch kind {
    case .snapshot(_, let volume): volume.rawValue
    case .image(let image): Self.lock(of: image)
    }
  }

  /// No volume's name has a colon.
  static func lock(of image: ImageName) -> String { "image:\(image)" }
}

extension Catalog {
  /// The snapshot or image whose topmost layer this is.
  static func readSource(_ layer: String, in database: Database) throws -> ReadSource? {
    guard let found = try self.layer(layer, in: database) else { return nil }
    switch found.owner {
    case .image(let name):
      guard let image = try image(name, in: database), image.top == layer else { return nil }
      return ReadSource(kind: .image(name), sizeBytes: image.sizeBytes)
    case .volume(let name):
      let snapshot = try chain(of: name, in: database)?.snapshots.first { $0.layer == layer }
      return snapshot.map { ReadSource(kind: .snapshot($0.name, name), sizeBytes: $0.sizeBytes) }
    }
  }

  /// Whether a user may read what a layer is the topmost of.
  static func mayRead(_ layer: String, _ user: UInt32, at now: Int64, in database: Database) throws -> Bool {
    try Row.fetchOne(
      database, sql: "SELECT 1 FROM readExport WHERE layer = ? AND clientUser = ? AND untilMilliseconds > ?",
      arguments: [layer, Int64(user), now]) != nil
  }

  /// The layers that a user may read.
  static func readable(by user: UInt32, at now: Int64, in database: Database) throws -> [String] {
    try String.fetchAll(
      database,
      sql: """
        SELECT readExport.layer FROM readExport JOIN layer ON layer.id = readExport.layer
        WHERE clientUser = ? AND untilMilliseconds > ? ORDER BY readExport.layer
        """, arguments: [Int64(user), now])
  }
}

extension Transaction {
  /// Lets a user read, and forgets what is no longer of use.
  mutating func allowReading(_ layer: String, by user: UInt32, at now: Int64) throws {
    try execute(
      "DELETE FROM readExport WHERE untilMilliseconds <= ? OR layer NOT IN (SELECT id FROM layer)", [now])
    try execute(
      "INSERT OR REPLACE INTO readExport (layer, clientUser, untilMilliseconds) VALUES (?, ?, ?)",
      [layer, Int64(user), now + StorageLimits.readExportMilliseconds])
  }
}
