import ControlState
import FoundationEssentials
import GRDB
import Primitives
import StorageAPI

/// Checkpoints and what changed after each, as the tables hold them.
extension Catalog {
  static func checkpoints(of volume: VolumeName, in database: Database) throws -> [CheckpointRecord] {
    let rows = try Row.fetchAll(
      database, sql: "SELECT * FROM checkpoint WHERE volume = ? ORDER BY id", arguments: [volume.rawValue])
    return try rows.map { row in
      let text: String = row["name"]
      let snapshot: String? = row["snapshot"]
      guard let name = CheckpointName(rawValue: text) else { throw Damaged(description: "checkpoint name \(text)") }
      return CheckpointRecord(
        id: row["id"], volume: volume, name: name, snapshot: snapshot.flatMap(SnapshotName.init(rawValue:)),
        sizeBytes: row["sizeBytes"], isAllChanged: row["isAllChanged"], createdMilliseconds: row["createdMilliseconds"])
    }
  }

  /// What changed after a checkpoint, until the next one.
  static func changes(after checkpoint: Int64, in database: Database) throws -> [ChangeTracker.Row] {
    let rows = try Row.fetchAll(
      database, sql: "SELECT span, bits, isHot FROM changedSpan WHERE checkpoint = ? ORDER BY span",
      arguments: [checkpoint])
    return rows.map { row in
      let bits: Data? = row["bits"]
      return ChangeTracker.Row(span: row["span"], words: words([UInt8](bits ?? Data())), isHot: row["isHot"])
    }
  }

  /// What differs between the moments of two checkpoints of a volume, as bytes of the newer one; nil when either is gone.
  ///
  /// - Parameters:
  ///   - newer: nil for the present.
  ///   - sizeBytes: that of the volume at the later moment.
  static func changes(
    of volume: VolumeName, since older: Int64, until newer: Int64? = nil, sizeBytes: Int64, in database: Database
  ) throws -> ChangeMap? {
    let checkpoints = try checkpoints(of: volume, in: database)
    let between = checkpoints.filter { $0.id >= older && $0.id < newer ?? .max }
    guard between.first?.id == older, newer == nil || checkpoints.contains(where: { $0.id == newer }) else {
      return nil
    }
    let map = ChangeMap(sizeBytes: sizeBytes)
    if between.contains(where: \.isAllChanged) {
      map.insert(contentsOf: 0..<sizeBytes)
      return map
    }
    // What was not there then, or not for a while, counts whole.
    map.insert(contentsOf: min(between.map(\.sizeBytes).min() ?? 0, sizeBytes)..<sizeBytes)
    for checkpoint in between {
      for row in try changes(after: checkpoint.id, in: database) { map.formUnion(row.counted, ofSpan: row.span) }
    }
    return map
  }

  private static func words(_ bytes: [UInt8]) -> [UInt64] {
    stride(from: 0, to: bytes.count, by: 8).map { start in
      bytes[start..<min(start + 8, bytes.count)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
  }

  fileprivate static func bytes(_ words: [UInt64]) -> Data {
    Data(words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) } })
  }
}

extension Transaction {
  mutating func insert(_ checkpoint: CheckpointRecord) throws {
    try execute(
      "INSERT INTO checkpoint (volume, name, snapshot, sizeBytes, createdMilliseconds) VALUES (?, ?, ?, ?, ?)",
      [
        checkpoint.volume.rawValue, checkpoint.name.rawValue, checkpoint.snapshot?.rawValue, checkpoint.sizeBytes,
        checkpoint.createdMilliseconds,
      ])
  }

  /// Takes a checkpoint out. What changed after it counts as changed after the one before, where there is one.
  mutating func remove(_ checkpoint: CheckpointRecord) throws {
    let older = try Catalog.checkpoints(of: checkpoint.volume, in: database).last { $0.id < checkpoint.id }
    if let older {
      let rows = try Catalog.changes(after: older.id, in: database)
      let known = Dictionary(rows.map { ($0.span, $0) }, uniquingKeysWith: { first, _ in first })
      for row in try Catalog.changes(after: checkpoint.id, in: database) {
        try store(row.union(known[row.span]), after: older.id)
      }
      if checkpoint.isAllChanged {
        try execute("UPDATE checkpoint SET isAllChanged = 1 WHERE id = ?", [older.id])
      }
    }
    try execute("DELETE FROM changedSpan WHERE checkpoint = ?", [checkpoint.id])
    try execute("DELETE FROM checkpoint WHERE id = ?", [checkpoint.id])
  }

  mutating func removeCheckpoints(of volume: VolumeName) throws {
    try execute(
      "DELETE FROM changedSpan WHERE checkpoint IN (SELECT id FROM checkpoint WHERE volume = ?)", [volume.rawValue])
    try execute("DELETE FROM checkpoint WHERE volume = ?", [volume.rawValue])
  }

  /// All of a volume counts as changed after its newest checkpoint.
  mutating func markAllChanged(_ volume: VolumeName) throws {
    try execute(
      "UPDATE checkpoint SET isAllChanged = 1 WHERE id = (SELECT max(id) FROM checkpoint WHERE volume = ?)",
      [volume.rawValue])
  }

  mutating func store(_ row: ChangeTracker.Row, after checkpoint: Int64) throws {
    guard row.isHot || row.words.contains(where: { $0 != 0 }) else {
      return try execute("DELETE FROM changedSpan WHERE checkpoint = ? AND span = ?", [checkpoint, row.span])
    }
    try execute(
      "INSERT OR REPLACE INTO changedSpan (checkpoint, span, bits, isHot) VALUES (?, ?, ?, ?)",
      [checkpoint, row.span, Catalog.bytes(row.words), row.isHot])
  }

  mutating func heat(_ spans: [Int], after checkpoint: Int64) throws {
    for span in spans {
      try execute(
        """
        INSERT INTO changedSpan (checkpoint, span, isHot) VALUES (?, ?, 1)
        ON CONFLICT (checkpoint, span) DO UPDATE SET isHot = 1
        """, [checkpoint, span])
    }
  }
}

extension ChangeTracker.Row {
  /// What counts as changed.
  var counted: [UInt64] { isHot ? [UInt64](repeating: .max, count: ChangeMap.spanWords) : words }

  /// What changed according to either.
  fileprivate func union(_ other: Self?) -> Self {
    guard let other else { return self }
    let (longer, shorter) = words.count >= other.words.count ? (words, other.words) : (other.words, words)
    let union = longer.enumerated().map { $0.offset < shorter.count ? $0.element | shorter[$0.offset] : $0.element }
    return Self(span: span, words: union, isHot: isHot || other.isHot)
  }
}
