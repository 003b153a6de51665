import BlockLayers
import ControlState
import GRDB
import Primitives
import StorageAPI

/// What the last scrub of a volume or an image found, as the state holds it.
struct ScrubRecord: Sendable, Equatable {
  var endedMilliseconds: Int64
  var report: ScrubReport

  /// What callers are told of it.
  var status: ScrubStatus {
    ScrubStatus(
      endedMilliseconds: endedMilliseconds, checkedBytes: report.checkedBytes, skippedBytes: report.skippedBytes,
      repairedBlocksOnIO0: report.repairedBlocks[.io0, default: 0],
      repairedBlocksOnIO1: report.repairedBlocks[.io1, default: 0], undecidedBlocks: report.undecidedBlocks,
      lostBlocks: report.lostBlocks)
  }
}

/// How far a scrub is with a layer.
struct ScrubbedLayer: Sendable, Equatable {
  var layer: String
  /// Up to where it was looked at.
  var doneBytes: Int64 = 0
  var isWhole = false
  var report = ScrubReport()
}

/// What is scrubbed together, and reported of together.
typealias ScrubSubject = LayerRecord.Owner

extension ScrubSubject {
  fileprivate var column: String {
    switch self {
    case .volume: "volume"
    case .image: "image"
    }
  }
}

extension Catalog {
  /// Every volume and every image.
  static func scrubSubjects(in database: Database) throws -> [ScrubSubject] {
    try volumes(in: database).map { .volume($0.name) } + (try images(in: database).map { .image($0.name) })
  }

  static func isThere(_ subject: ScrubSubject, in database: Database) throws -> Bool {
    switch subject {
    case .volume(let name): try volume(name, in: database) != nil
    case .image(let name): try image(name, in: database) != nil
    }
  }

  static func lastScrub(of subject: ScrubSubject, in database: Database) throws -> ScrubRecord? {
    try Row.fetchOne(
      database, sql: "SELECT * FROM scrubReport WHERE \(subject.column) = ?", arguments: [subject.name]
    ).map { ScrubRecord(endedMilliseconds: $0["endedMilliseconds"], report: scrubReport($0)) }
  }

  /// What a job has looked at, by layer.
  static func scrubbedLayers(of job: Int64, in database: Database) throws -> [String: ScrubbedLayer] {
    let rows = try Row.fetchAll(database, sql: "SELECT * FROM scrubbedLayer WHERE job = ?", arguments: [job])
    return rows.reduce(into: [:]) { layers, row in
      let layer = ScrubbedLayer(
        layer: row["layer"], doneBytes: row["doneBytes"], isWhole: row["isWhole"], report: scrubReport(row))
      layers[layer.layer] = layer
    }
  }

  private static func scrubReport(_ row: Row) -> ScrubReport {
    var report = ScrubReport()
    report.checkedBytes = row["checkedBytes"]
    report.skippedBytes = row["skippedBytes"]
    for (leg, column) in [(LegID.io0, "repairedOnIO0"), (.io1, "repairedOnIO1")] {
      let blocks: Int = row[column]
      if blocks > 0 { report.repairedBlocks[leg] = blocks }
    }
    report.undecidedBlocks = row["undecidedBlocks"]
    report.lostBlocks = row["lostBlocks"]
    return report
  }
}

extension ScrubReport {
  /// Its columns, in the order of `names`.
  fileprivate var columns: StatementArguments {
    [
      checkedBytes, skippedBytes, repairedBlocks[.io0, default: 0], repairedBlocks[.io1, default: 0], undecidedBlocks,
      lostBlocks,
    ]
  }

  fileprivate static let names =
    "checkedBytes, skippedBytes, repairedOnIO0, repairedOnIO1, undecidedBlocks, lostBlocks"
}

extension Transaction {
  /// Keeps what a scrub found, in place of what the one before did. Nothing where the subject has gone.
  mutating func keep(_ scrub: ScrubRecord, of subject: ScrubSubject) throws {
    guard try Catalog.isThere(subject, in: database) else { return }
    try execute(
      """
      INSERT OR REPLACE INTO scrubReport (\(subject.column), endedMilliseconds, \(ScrubReport.names))
      VALUES (?, ?, ?, ?, ?, ?, ?, ?)
      """, [subject.name, scrub.endedMilliseconds] + scrub.report.columns)
  }

  mutating func forgetScrubs(of subject: ScrubSubject) throws {
    try execute("DELETE FROM scrubReport WHERE \(subject.column) = ?", [subject.name])
  }

  /// Notes how far a job is with a layer.
  mutating func note(_ scrubbed: ScrubbedLayer, in job: Int64) throws {
    try execute(
      """
      INSERT OR REPLACE INTO scrubbedLayer (job, layer, doneBytes, isWhole, \(ScrubReport.names))
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """, [job, scrubbed.layer, scrubbed.doneBytes, scrubbed.isWhole] + scrubbed.report.columns)
  }

  mutating func forgetScrubbedLayers(of job: Int64) throws {
    try execute("DELETE FROM scrubbedLayer WHERE job = ?", [job])
  }
}
