import ControlState
import GRDB
import Primitives
import StorageAPI

/// An operation that lasts, as the state holds it.
struct JobRecord: Sendable, Equatable {
  /// What is done. The words are those in the table.
  enum Operation: String, Sendable, CaseIterable {
    case deleteSnapshot = "volume.deleteSnapshot"
    /// Begun by the service itself, when nobody uses a volume any longer that has layers to merge.
    case mergeLayers = "volume.mergeLayers"
    case flatten = "volume.flatten"
    case rebase = "volume.rebase"
    case capture = "library.capture"
    /// Begun by the service itself, when an image came to be.
    case checksum = "library.checksum"
    case verify = "library.verify"
    case scrubVolume = "volume.scrub"
    case scrubImage = "library.scrub"
  }

  var id: Int64
  var operation: Operation
  var state: JobState = .running
  /// Of no name where it works on an image alone.
  var volume: VolumeName
  /// The image that is made, that the volume is put on, or that is read.
  var image: ImageName?
  var description = ""
  /// Identifier of the layer from which on down is read.
  var source: String?
  /// Identifier of the layer that is written.
  var target: String?
  /// Whether a merged layer is about to take the place of the one above it.
  var isReplacing = false
  /// Up to where all is durable in the target.
  var doneBytes: Int64 = 0
  var totalBytes: Int64 = 0
  var reason: String?
  var createdMilliseconds: Int64
  var endedMilliseconds: Int64?

  /// Whether it merges layers, and so has no layer of its own that could be given up.
  var merges: Bool { operation == .deleteSnapshot || operation == .mergeLayers }

  /// Whether it only reads an image.
  var readsImage: Bool { operation == .checksum || operation == .verify || operation == .scrubImage }

  /// What it scrubs; nil where it does something else. A volume's layers may change meanwhile.
  var scrubbed: ScrubSubject? {
    switch operation {
    case .scrubVolume: .volume(volume)
    case .scrubImage: image.map { .image($0) }
    default: nil
    }
  }

  /// What callers are told of it.
  var status: JobStatus {
    JobStatus(
      job: id, operation: operation.rawValue,
      subject: operation == .capture || readsImage ? image?.rawValue ?? volume.rawValue : volume.rawValue, state: state,
      doneBytes: doneBytes, totalBytes: totalBytes, reason: reason, createdMilliseconds: createdMilliseconds,
      endedMilliseconds: endedMilliseconds)
  }
}

extension JobRecord {
  static var noVolume: VolumeName { VolumeName(unchecked: "") }

  /// A job that reads an image.
  init(_ operation: Operation, of image: ImageRecord, now: Int64) {
    self.init(
      id: 0, operation: operation, volume: Self.noVolume, image: image.name, source: image.top,
      totalBytes: image.sizeBytes, createdMilliseconds: now)
  }
}

extension JobRecord {
  init(scrubbing subject: ScrubSubject, totalBytes: Int64, now: Int64) {
    switch subject {
    case .volume(let name):
      self.init(id: 0, operation: .scrubVolume, volume: name, totalBytes: totalBytes, createdMilliseconds: now)
    case .image(let name):
      self.init(
        id: 0, operation: .scrubImage, volume: Self.noVolume, image: name, totalBytes: totalBytes,
        createdMilliseconds: now)
    }
  }
}

extension Catalog {
  static func job(_ id: Int64, in database: Database) throws -> JobRecord? {
    try Row.fetchOne(database, sql: "SELECT * FROM job WHERE id = ?", arguments: [id]).map(job)
  }

  static func jobs(in database: Database) throws -> [JobRecord] {
    try Row.fetchAll(database, sql: "SELECT * FROM job ORDER BY id").map(job)
  }

  static func runningJobs(in database: Database) throws -> [JobRecord] {
    try Row.fetchAll(
      database, sql: "SELECT * FROM job WHERE state = ? ORDER BY id", arguments: [JobState.running.rawValue]
    ).map(job)
  }

  /// The job that works on the layers of a volume.
  static func runningJob(on volume: VolumeName, in database: Database) throws -> JobRecord? {
    try runningJobs(in: database).first { $0.volume == volume && $0.scrubbed == nil }
  }

  private static func job(_ row: Row) throws -> JobRecord {
    let id: Int64 = row["id"]
    let operationName: String = row["operation"]
    let stateName: String = row["state"]
    let volumeName: String = row["volume"]
    let image: String? = row["image"]
    guard let operation = JobRecord.Operation(rawValue: operationName), let state = JobState(rawValue: stateName),
      let volume = VolumeName(rawValue: volumeName) ?? (volumeName.isEmpty ? JobRecord.noVolume : nil)
    else { throw Damaged(description: "job \(id): \(operationName) of \(volumeName), \(stateName)") }
    return JobRecord(
      id: id, operation: operation, state: state, volume: volume, image: image.flatMap(ImageName.init(rawValue:)),
      description: row["description"], source: row["source"], target: row["target"], isReplacing: row["isReplacing"],
      doneBytes: row["doneBytes"], totalBytes: row["totalBytes"], reason: row["reason"],
      createdMilliseconds: row["createdMilliseconds"], endedMilliseconds: row["endedMilliseconds"])
  }
}

extension Transaction {
  /// Enters a job and gives it its number. Those that ended long ago are forgotten.
  mutating func insert(_ job: JobRecord) throws -> JobRecord {
    try execute(
      """
      INSERT INTO job (operation, state, volume, image, description, source, target, totalBytes, createdMilliseconds,
        endedMilliseconds)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """,
      [
        job.operation.rawValue, job.state.rawValue, job.volume.rawValue, job.image?.rawValue, job.description,
        job.source, job.target, job.totalBytes, job.createdMilliseconds, job.endedMilliseconds,
      ])
    var numbered = job
    numbered.id = lastInsertedRowID
    try execute(
      "DELETE FROM job WHERE state != ? AND id <= ?",
      [JobState.running.rawValue, numbered.id - StorageLimits.rememberedJobs])
    return numbered
  }

  /// Notes how a job stands.
  mutating func update(_ job: JobRecord) throws {
    try execute(
      """
      UPDATE job SET state = ?, source = ?, target = ?, isReplacing = ?, doneBytes = ?, totalBytes = ?, reason = ?,
        endedMilliseconds = ?
      WHERE id = ?
      """,
      [
        job.state.rawValue, job.source, job.target, job.isReplacing, job.doneBytes, job.totalBytes, job.reason,
        job.endedMilliseconds, job.id,
      ])
  }
}
