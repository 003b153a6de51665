import BlockLayers
import ControlState
import Primitives
import RPC
import StorageAPI

/// Checksums of images: made when an image comes to be, compared when somebody asks.
extension StorageService {
  func verify(_ params: VerifyImage.Params) async throws(RPCError) -> JobStatus {
    let now = environment.now()
    let status = try await state.perform(VerifyImage.self, params) { transaction in
      guard let image = try Catalog.image(params.image, in: transaction.database) else {
        throw Complaint.noSuchImage(params.image)
      }
      return try transaction.insert(JobRecord(.verify, of: image, now: now)).status
    }
    // A repeat gets the first one's answer, and its job.
    if status.state == .running, !jobs.isRunning(status.job) { try await beginJob(status.job) }
    return status
  }

  /// Has the checksums made that images lack: of this one, or of all.
  func beginSums(of name: ImageName? = nil) async {
    let now = environment.now()
    do throws(RPCError) {
      let missing = try await state.read { database in try Catalog.imagesWithoutSum(name, in: database) }
      guard !missing.isEmpty else { return }
      let begun = try await state.write { transaction in
        try Catalog.imagesWithoutSum(name, in: transaction.database).map { image in
          try transaction.insert(JobRecord(.checksum, of: image, now: now))
        }
      }
      for job in begun { jobs.begin(job) }
    } catch {
      environment.logger.warning("checksums of images were not begun", metadata: ["error": "\(error)"])
    }
  }

  /// Ends what reads an image that nobody will need.
  func endJobs(on image: ImageName) async throws(RPCError) {
    let running = try await state.read { database in try Catalog.runningJobs(in: database) }
    for job in running where job.readsImage && job.image == image { _ = try await cancelJob(job.id) }
  }

  // MARK: Running

  /// Reads an image whole, one at a time, and keeps or compares its checksum. An earlier instance's is begun anew.
  func sumImage(_ job: JobRecord) async throws(RPCError) {
    while !isSumming.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged {
      guard jobs.waits(job.id, for: "waits for another image to be read") else { return await endUnlessStopping(job) }
      do { try await Task.sleep(for: StorageLimits.jobPause) } catch { return }
    }
    defer { isSumming.store(false, ordering: .releasing) }
    try step("sum.read")
    guard let sum = try await contentSum(job) else { return await endUnlessStopping(job) }
    try step("sum.commit")
    let now = environment.now()
    let known = try await state.write { transaction in try Self.keep(sum, of: job, now: now, in: &transaction) }
    if let known { await tell(of: job, known: known, found: sum) }
  }

  private func endUnlessStopping(_ job: JobRecord) async {
    if jobs.isCancelled(job.id) { await end(job, as: .cancelled, reason: nil) }
  }

  /// Nil when the job is to end, or the image has gone.
  private func contentSum(_ job: JobRecord) async throws(RPCError) -> String? {
    guard let name = job.image, let top = job.source else { return nil }
    let source = ReadSource(kind: .image(name), sizeBytes: job.totalBytes)
    let device = try await locks.with(source.lock, for: job.operation.rawValue) { () throws(RPCError) in
      let current = try await state.read { database in try Catalog.readSource(top, in: database) }
      return current == source ? try await reading(source, from: top) : nil
    }
    guard let device else {
      _ = jobs.cancel(job.id)
      return nil
    }
    let pace = ResyncPace { self.table.activity() }
    return try await blocking(on: sums) { () throws(RPCError) in
      var run = pace.run()
      do throws(BlockError) {
        return try ContentSum.sha256(of: device) { done in
          run.paced(done)
          return self.jobs.goOn(job.id, done: done, of: job.totalBytes)
        }
      } catch {
        throw Self.complaint(about: error, while: "reading image \(name)")
      }
    }
  }

  /// Ends the job, and keeps the checksum where there is none. Answers the one that is kept when it is another.
  private static func keep(
    _ sum: String, of job: JobRecord, now: Int64, in transaction: inout Transaction
  ) throws -> String? {
    guard var current = try Catalog.job(job.id, in: transaction.database), current.state == .running else { return nil }
    let image = try job.image.flatMap { try Catalog.image($0, in: transaction.database) }
    if let image, image.top == job.source {
      if let known = image.contentSHA256, known != sum { return known }
      try transaction.execute("UPDATE image SET contentSHA256 = ? WHERE name = ?", [sum, image.name.rawValue])
    }
    (current.state, current.doneBytes, current.endedMilliseconds) = (.done, current.totalBytes, now)
    try transaction.update(current)
    return nil
  }

  private func tell(of job: JobRecord, known: String, found: String) async {
    let name = job.image?.rawValue ?? ""
    let message =
      "Image \(name) reads differently from when it came to be: its SHA-256 was \(known) and is \(found)."
    await end(job, as: .failed, reason: message)
    publish(
      .critical, .imageDamaged, name,
      "\(message) Volumes that are based on it read wrong, too: restore what they hold from a backup.",
      ["expected": .string(known), "found": .string(found)])
  }
}
