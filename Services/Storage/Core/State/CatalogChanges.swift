import ControlState
import GRDB
import Primitives
import StorageAPI

/// The changes that operations make to the tables: each is part of a transaction of its caller's.
extension Transaction {
  mutating func insert(_ volume: VolumeRecord) throws {
    try execute(
      """
      INSERT INTO volume (name, sizeBytes, top, generation, clientUser, createdMilliseconds, cache, onOneLeg)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?)
      """,
      [
        volume.name.rawValue, volume.sizeBytes, volume.top, volume.generation, volume.clientUser.map { Int64($0) },
        volume.createdMilliseconds, volume.policy.cache.rawValue, volume.policy.onOneLeg.rawValue,
      ])
  }

  mutating func insert(_ layer: LayerRecord) throws {
    var volume: String?
    var image: String?
    switch layer.owner {
    case .volume(let name): volume = name.rawValue
    case .image(let name): image = name.rawValue
    }
    try execute(
      "INSERT INTO layer (id, role, parent, volume, image) VALUES (?, ?, ?, ?, ?)",
      [layer.id, layer.role.rawValue, layer.parent, volume, image])
  }

  mutating func insert(_ image: ImageRecord) throws {
    try execute(
      "INSERT INTO image (name, sizeBytes, top, description, createdMilliseconds) VALUES (?, ?, ?, ?, ?)",
      [image.name.rawValue, image.sizeBytes, image.top, image.description, image.createdMilliseconds])
  }

  /// Takes a layer out of the state; its file is loose from then on.
  mutating func removeLayer(_ layer: LayerRecord) throws {
    try execute("DELETE FROM layer WHERE id = ?", [layer.id])
    try addLooseFile(layer.path)
  }

  mutating func addLooseFile(_ path: String) throws {
    try execute("INSERT OR IGNORE INTO looseFile (path) VALUES (?)", [path])
  }

  mutating func removeLooseFile(_ path: String) throws {
    try execute("DELETE FROM looseFile WHERE path = ?", [path])
  }

  /// Takes a volume out of the state, with the layers that only it uses. Its generations are never used again.
  mutating func removeVolume(_ chain: Chain) throws {
    try forgetVolume(chain.volume)
    for layer in chain.ownLayers { try removeLayer(layer) }
  }

  /// Takes the volume's own row out, and leaves its layers to the caller.
  mutating func forgetVolume(_ volume: VolumeRecord) throws {
    try execute(
      "UPDATE counter SET value = max(value, ?) WHERE name = 'generation'", [volume.generation + 1])
    try execute("DELETE FROM commitIntent WHERE volume = ?", [volume.name.rawValue])
    try execute("DELETE FROM snapshot WHERE volume = ?", [volume.name.rawValue])
    try removeCheckpoints(of: volume.name)
    try forgetScrubs(of: .volume(volume.name))
    try execute("DELETE FROM volume WHERE name = ?", [volume.name.rawValue])
  }

  mutating func setTop(_ layer: String, of volume: VolumeName) throws {
    try execute("UPDATE volume SET top = ? WHERE name = ?", [layer, volume.rawValue])
  }

  mutating func insert(_ snapshot: SnapshotRecord) throws {
    try execute(
      """
      INSERT INTO snapshot (volume, name, layer, sizeBytes, description, createdMilliseconds) VALUES (?, ?, ?, ?, ?, ?)
      """,
      [
        snapshot.volume.rawValue, snapshot.name.rawValue, snapshot.layer, snapshot.sizeBytes, snapshot.description,
        snapshot.createdMilliseconds,
      ])
  }

  mutating func insert(_ commit: CommitRecord) throws {
    try execute(
      "INSERT OR REPLACE INTO commitIntent (volume, layer, keepEnabled, requestKey) VALUES (?, ?, ?, ?)",
      [commit.volume.rawValue, commit.layer, commit.keepEnabled, commit.requestKey])
  }

  mutating func removeCommit(of volume: VolumeName) throws {
    try execute("DELETE FROM commitIntent WHERE volume = ?", [volume.rawValue])
  }
}
