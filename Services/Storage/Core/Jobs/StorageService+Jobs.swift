import ControlState
import Primitives
import RPC
import StorageAPI

/// Operations that last: begun by a call, gone on with by the next instance, shown and ended by others.
extension StorageService {
  func listJobs() async throws(RPCError) -> ListJobs.Result {
    let found = try await state.read { database in try Catalog.jobs(in: database) }
    return .init(jobs: found.map(jobs.status))
  }

  func showJob(_ id: Int64) async throws(RPCError) -> JobStatus { jobs.status(try await job(id)) }

  /// Ends a job and waits until it has ended: then what it did is undone.
  func cancelJob(_ id: Int64) async throws(RPCError) -> JobStatus {
    var found = try await job(id)
    while found.state == .running, jobs.cancel(id) {
      do { try await Task.sleep(for: .milliseconds(10)) } catch { throw Complaint.internalError("the call was ended") }
      found = try await job(id)
    }
    return jobs.status(found)
  }

  private func job(_ id: Int64) async throws(RPCError) -> JobRecord {
    guard let found = try await state.read({ database in try Catalog.job(id, in: database) }) else {
      throw Complaint.noSuchJob(id)
    }
    return found
  }

  /// Ends what works on the layers of a volume that nobody will need.
  func endJob(on volume: VolumeName) async throws(RPCError) {
    let running = try await state.read { database in try Catalog.runningJob(on: volume, in: database) }
    if let running { _ = try await cancelJob(running.id) }
  }

  /// Refuses what a job that works on the volume's layers, or a client that reads a snapshot, forbids.
  func requireNoJob(on volume: VolumeName) async throws(RPCError) {
    try requireNoReader(of: volume)
    try await requireNoRunningJob(on: volume)
  }

  /// The same, also while snapshots are read.
  func requireNoRunningJob(on volume: VolumeName) async throws(RPCError) {
    let running = try await state.read { database in try Catalog.runningJob(on: volume, in: database) }
    if let running { throw Complaint.jobRuns(running.status, on: volume) }
  }

  // MARK: Running

  /// Runs jobs until it is cancelled.
  func runJobs() async {
    await withDiscardingTaskGroup { group in
      for await id in jobs.queue {
        group.addTask { await self.run(id) }
      }
    }
  }

  private func run(_ id: Int64) async {
    defer { endJob(id) }
    while await attempt(id) {
      do { try await Task.sleep(for: StorageLimits.jobRetryPause) } catch { return }
    }
  }

  /// Runs a job once. Whether it has to be tried again.
  private func attempt(_ id: Int64) async -> Bool {
    let job: JobRecord
    do throws(RPCError) { job = try await self.job(id) } catch {
      return jobs.waits(id, for: error.message)
    }
    guard job.state == .running else { return false }
    do throws(RPCError) {
      switch job.operation {
      case .deleteSnapshot, .mergeLayers: try await mergeLayers(job)
      case .flatten, .rebase, .capture: try await fill(job)
      case .checksum, .verify: try await sumImage(job)
      case .scrubVolume, .scrubImage: try await scrub(job)
      }
      return false
    } catch {
      return await fail(job, error)
    }
  }

  private func endJob(_ id: Int64) {
    if let volume = jobs.end(id) { locks.release(volume.rawValue) }
  }

  /// Notes that a job could not go on, and undoes what it did. Where this instance ends, the next one goes on. Whether the
  /// job has to be tried again: one that can only go forward keeps its volume closed until it has.
  private func fail(_ job: JobRecord, _ error: RPCError) async -> Bool {
    guard !isStopping.load(ordering: .acquiring), !Task.isCancelled, (try? step("job.fail")) != nil else {
      return false
    }
    environment.logger.error("a job failed", metadata: ["job": "\(job.id)", "error": "\(error)"])
    let current = try? await self.job(job.id)
    if current?.isReplacing ?? true { return jobs.waits(job.id, for: error.message) }
    await end(job, as: .failed, reason: error.message)
    let advice =
      if job.merges {
        "Nothing reads differently; layers are merged when the volume's last client leaves, or with its next snapshot."
      } else if job.scrubbed != nil {
        "What was repaired stays so; call it again."
      } else {
        "Nothing was changed; call it again."
      }
    publish(
      .error, .jobFailed, job.status.subject,
      "\(job.operation.rawValue) of \(job.status.subject) failed: \(error.message) \(advice)",
      ["job": .integer(job.id), "kind": .string(error.kind)])
    return false
  }

  /// Ends a job without its result, and removes what it was making.
  func end(_ job: JobRecord, as outcome: JobState, reason: String?) async {
    do throws(RPCError) {
      let loose = try await freeingSpace { () throws(RPCError) in
        try await state.write { transaction -> [String] in
          guard var current = try Catalog.job(job.id, in: transaction.database), current.state == .running else {
            return []
          }
          current.state = outcome
          current.reason = reason
          current.endedMilliseconds = self.environment.now()
          try transaction.update(current)
          try transaction.forgetScrubbedLayers(of: job.id)
          guard !job.merges, job.scrubbed == nil else { return [] }
          if self.table.stack(of: job.volume) == nil,
            current.source == (try Catalog.volume(job.volume, in: transaction.database)?.top)
          {
            try transaction.execute("UPDATE volume SET openForWriting = 0 WHERE name = ?", [job.volume.rawValue])
          }
          guard let id = current.target,
            let target = try Catalog.layer(id, in: transaction.database)
          else { return [] }
          try transaction.removeLayer(target)
          return [target.path]
        }
      }
      await removeLooseFiles(loose)
    } catch {
      environment.logger.error("a job's end was not noted", metadata: ["job": "\(job.id)", "error": "\(error)"])
    }
  }

  /// Has the jobs of an earlier instance go on. What holds a volume's lock holds it before anybody is served.
  func resumeJobs() async throws(RPCError) {
    let running = try await state.read { database in
      try Catalog.runningJobs(in: database).map { ($0, try Catalog.volume($0.volume, in: database)?.top) }
    }
    for (job, top) in running {
      var hold = !job.merges && !job.readsImage && job.scrubbed == nil && job.source == top
      if job.isReplacing {
        do throws(RPCError) { try await finishReplacing(job) } catch {
          // Nobody may open the volume before; the others are served.
          hold = true
          environment.logger.error(
            "a merged layer could not be put into its place", metadata: ["job": "\(job.id)", "error": "\(error)"])
        }
      }
      guard hold else {
        jobs.begin(job)
        continue
      }
      do throws(RPCError) {
        try await locks.acquire(job.volume.rawValue, for: job.operation.rawValue)
        jobs.begin(job, holding: job.volume)
      } catch {
        environment.logger.error("a job was not gone on with", metadata: ["job": "\(job.id)", "error": "\(error)"])
      }
    }
  }
}
