import GRDB
import Primitives
import StorageAPI

/// What the tables hold, as values. Rows that do not make sense are refused loudly: they are never guessed at.
enum Catalog {
  /// A row that no version of this software wrote.
  struct Damaged: Error, CustomStringConvertible {
    var description: String
  }

  // MARK: Volumes

  static func volume(_ name: VolumeName, in database: Database) throws -> VolumeRecord? {
    try Row.fetchOne(database, sql: "SELECT * FROM volume WHERE name = ?", arguments: [name.rawValue]).map(volume)
  }

  static func volumes(in database: Database) throws -> [VolumeRecord] {
    try Row.fetchAll(database, sql: "SELECT * FROM volume ORDER BY name").map(volume)
  }

  private static func volume(_ row: Row) throws -> VolumeRecord {
    let name: String = row["name"]
    let (cacheName, oneLegName): (String, String) = (row["cache"], row["onOneLeg"])
    guard let volume = VolumeName(rawValue: name) else { throw Damaged(description: "volume name \(name)") }
    guard let cache = CachePolicy(rawValue: cacheName), let onOneLeg = OneLegPolicy(rawValue: oneLegName) else {
      throw Damaged(description: "volume \(name) is written \(cacheName), \(oneLegName) on one leg")
    }
    let user: Int64? = row["clientUser"]
    return VolumeRecord(
      name: volume, sizeBytes: row["sizeBytes"], top: row["top"], generation: row["generation"],
      clientUser: user.flatMap(UInt32.init(exactly:)), connected: row["connected"],
      openForWriting: row["openForWriting"], legsDiffer: row["legsDiffer"],
      createdMilliseconds: row["createdMilliseconds"], policy: WritePolicy(cache: cache, onOneLeg: onOneLeg),
      openings: row["openings"])
  }

  // MARK: Layers

  static func layers(in database: Database) throws -> [LayerRecord] {
    try Row.fetchAll(database, sql: "SELECT * FROM layer ORDER BY id").map(layer)
  }

  /// The layers that belong to a volume or an image, by identifier.
  static func layers(of owner: LayerRecord.Owner, in database: Database) throws -> [LayerRecord] {
    try layers(in: database).filter { $0.owner == owner }
  }

  static func layer(_ id: String, in database: Database) throws -> LayerRecord? {
    try Row.fetchOne(database, sql: "SELECT * FROM layer WHERE id = ?", arguments: [id]).map(layer)
  }

  private static func layer(_ row: Row) throws -> LayerRecord {
    let id: String = row["id"]
    let roleName: String = row["role"]
    let volume: String? = row["volume"]
    let image: String? = row["image"]
    let owner: LayerRecord.Owner
    if let name = volume.flatMap(VolumeName.init(rawValue:)) {
      owner = .volume(name)
    } else if let name = image.flatMap(ImageName.init(rawValue:)) {
      owner = .image(name)
    } else {
      throw Damaged(description: "layer \(id) has no owner")
    }
    guard let role = LayerRole(rawValue: roleName), LayerID.isWellFormed(id) else {
      throw Damaged(description: "layer \(id) of role \(roleName)")
    }
    return LayerRecord(id: id, role: role, parent: row["parent"], owner: owner)
  }

  /// The layers from `top` down.
  static func chain(from top: String, in database: Database) throws -> [LayerRecord] {
    var layers: [LayerRecord] = []
    var next: String? = top
    while let id = next {
      guard let found = try layer(id, in: database) else { throw Damaged(description: "layer \(id) is missing") }
      guard layers.count < StorageLimits.chainLayers else {
        throw Damaged(description: "the chain from layer \(top) has more than \(StorageLimits.chainLayers) layers")
      }
      layers.append(found)
      next = found.parent
    }
    return layers
  }

  static func chain(of name: VolumeName, in database: Database) throws -> Chain? {
    try volume(name, in: database).map { try chain(of: $0, in: database) }
  }

  static func chain(of volume: VolumeRecord, in database: Database) throws -> Chain {
    let layers = try chain(from: volume.top, in: database)
    let known = Set(layers.map(\.id))
    let own = try Row.fetchAll(
      database, sql: "SELECT * FROM layer WHERE volume = ? ORDER BY id", arguments: [volume.name.rawValue])
    return Chain(
      volume: volume, layers: layers, branches: try own.map(layer).filter { !known.contains($0.id) },
      snapshots: try snapshots(of: volume.name, in: database),
      checkpoints: try checkpoints(of: volume.name, in: database),
      lastScrub: try lastScrub(of: .volume(volume.name), in: database))
  }

  private static func snapshots(of volume: VolumeName, in database: Database) throws -> [SnapshotRecord] {
    let rows = try Row.fetchAll(
      database, sql: "SELECT * FROM snapshot WHERE volume = ? ORDER BY createdMilliseconds, name",
      arguments: [volume.rawValue])
    return try rows.map { row in
      let text: String = row["name"]
      guard let name = SnapshotName(rawValue: text) else { throw Damaged(description: "snapshot name \(text)") }
      return SnapshotRecord(
        volume: volume, name: name, layer: row["layer"], sizeBytes: row["sizeBytes"],
        description: row["description"], createdMilliseconds: row["createdMilliseconds"])
    }
  }

  // MARK: Images

  static func image(_ name: ImageName, in database: Database) throws -> ImageRecord? {
    try Row.fetchOne(database, sql: "SELECT * FROM image WHERE name = ?", arguments: [name.rawValue])
      .map { try image($0, in: database) }
  }

  static func images(in database: Database) throws -> [ImageRecord] {
    try Row.fetchAll(database, sql: "SELECT * FROM image ORDER BY name").map { try image($0, in: database) }
  }

  private static func image(_ row: Row, in database: Database) throws -> ImageRecord {
    let name: String = row["name"]
    guard let image = ImageName(rawValue: name) else { throw Damaged(description: "image name \(name)") }
    let tags: String = row["tags"]
    return ImageRecord(
      name: image, sizeBytes: row["sizeBytes"], top: row["top"], description: row["description"],
      operatingSystem: row["operatingSystem"], tags: tags.split(separator: " ").map(String.init),
      createdMilliseconds: row["createdMilliseconds"], contentSHA256: row["contentSHA256"],
      lastScrub: try lastScrub(of: .image(image), in: database))
  }

  /// The images that lack a checksum and of which none is being made: this one, or all.
  static func imagesWithoutSum(_ name: ImageName?, in database: Database) throws -> [ImageRecord] {
    let running = Set(try runningJobs(in: database).filter { $0.operation == .checksum }.compactMap(\.image))
    return try images(in: database).filter { image in
      image.contentSHA256 == nil && !running.contains(image.name) && (name == nil || image.name == name)
    }
  }

  /// The volumes that are based on an image, by name.
  static func users(of image: ImageName, in database: Database) throws -> [VolumeName] {
    let names = try String.fetchAll(
      database,
      sql: """
        SELECT DISTINCT child.volume FROM layer AS child JOIN layer AS parent ON child.parent = parent.id
        WHERE parent.image = ? AND child.volume IS NOT NULL ORDER BY child.volume
        """, arguments: [image.rawValue])
    return names.compactMap(VolumeName.init(rawValue:))
  }

  // MARK: Journal

  static func looseFiles(in database: Database) throws -> [String] {
    try String.fetchAll(database, sql: "SELECT path FROM looseFile ORDER BY path")
  }

  static func commit(of volume: VolumeName, in database: Database) throws -> CommitRecord? {
    try Row.fetchOne(database, sql: "SELECT * FROM commitIntent WHERE volume = ?", arguments: [volume.rawValue])
      .map(commit)
  }

  static func commits(in database: Database) throws -> [CommitRecord] {
    try Row.fetchAll(database, sql: "SELECT * FROM commitIntent ORDER BY volume").map(commit)
  }

  private static func commit(_ row: Row) throws -> CommitRecord {
    let name: String = row["volume"]
    guard let volume = VolumeName(rawValue: name) else { throw Damaged(description: "volume name \(name)") }
    return CommitRecord(
      volume: volume, layer: row["layer"], keepEnabled: row["keepEnabled"], requestKey: row["requestKey"])
  }

  /// How each leg stood when it was last told of.
  static func toldLegs(in database: Database) throws -> [LegID: String] {
    var told: [LegID: String] = [:]
    for row in try Row.fetchAll(database, sql: "SELECT leg, state FROM legAlert") {
      let name: String = row["leg"]
      if let leg = LegID(rawValue: name) { told[leg] = row["state"] }
    }
    return told
  }

  /// The generation that a new volume begins with: higher than that of any volume deleted before.
  static func firstGeneration(in database: Database) throws -> Int64 {
    try Int64.fetchOne(database, sql: "SELECT value FROM counter WHERE name = 'generation'") ?? 1
  }
}
