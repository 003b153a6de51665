import BlockLayers
import ControlState
import Primitives
import RPC
import ServiceAPI
import StorageAPI

/// Finding what changed on a disk by itself, before the other leg is lost: now and then, and when somebody asks.
extension StorageService {
  /// Scrubs everything again and again, until it is cancelled.
  func scrubNowAndThen() async throws {
    try await Task.sleep(for: StorageLimits.scrubDelay)
    while true {
      await scrub()
      try await Task.sleep(for: StorageLimits.scrubPause)
    }
  }

  /// Scrubs every volume and image. Stops when there are no two legs in step.
  func scrub() async {
    let subjects = (try? await state.read { database in try Catalog.scrubSubjects(in: database) }) ?? []
    for subject in subjects {
      guard legs.inStep.count == 2, !Task.isCancelled else { return }
      do throws(RPCError) {
        let run = ScrubRun(subject)
        guard try await scrub(run) == .whole else { continue }
        let record = ScrubRecord(endedMilliseconds: environment.now(), report: run.report)
        try await state.write { transaction in try transaction.keep(record, of: subject) }
      } catch {
        environment.logger.warning("not all was scrubbed", metadata: ["subject": "\(subject)", "error": "\(error)"])
      }
    }
  }

  // MARK: As a job

  func scrub(_ params: ScrubVolume.Params) async throws(RPCError) -> JobStatus {
    try await beginScrub(ScrubVolume.self, params, of: .volume(params.volume))
  }

  func scrub(_ params: ScrubImage.Params) async throws(RPCError) -> JobStatus {
    try await beginScrub(ScrubImage.self, params, of: .image(params.image))
  }

  /// Enters a job, unless there is one already that does the same.
  private func beginScrub<M: RPCMethod>(
    _ method: M.Type, _ params: M.Params, of subject: ScrubSubject
  ) async throws(RPCError) -> JobStatus where M.Params: KeyedParams, M.Result == JobStatus {
    if let answer = try await state.answer(for: method, params) { return answer }
    if legs.inStep.count < 2 { throw Complaint.oneLeg(legs.inStep) }
    let length = try await length(of: subject)
    let job = JobRecord(scrubbing: subject, totalBytes: length, now: environment.now())
    let status = try await state.perform(method, params) { transaction in
      guard try Catalog.isThere(subject, in: transaction.database) else { throw Complaint.noSuch(subject) }
      let running = try Catalog.runningJobs(in: transaction.database)
      if let same = running.first(where: { $0.scrubbed == subject }) { return same.status }
      return try transaction.insert(job).status
    }
    // A repeat gets the first one's answer, and its job.
    if status.state == .running, !jobs.isRunning(status.job) { try await beginJob(status.job) }
    return status
  }

  /// Ends the scrubs of what nobody will need.
  func endScrubs(of subject: ScrubSubject) async throws(RPCError) {
    let running = try await state.read { database in try Catalog.runningJobs(in: database) }
    for job in running where job.scrubbed == subject { _ = jobs.cancel(job.id) }
  }

  /// Looks at what an earlier instance did not, waiting while there are no two legs in step.
  func scrub(_ job: JobRecord) async throws(RPCError) {
    guard let subject = job.scrubbed else { throw Complaint.internalError("job \(job.id) has nothing to scrub") }
    let scrubbed = try await state.read { database in try Catalog.scrubbedLayers(of: job.id, in: database) }
    let run = ScrubRun(subject, job: job.id, scrubbed)
    while true {
      try step("scrub.run")
      let outcome: ScrubRun.Outcome
      do throws(RPCError) { outcome = try await scrub(run) } catch {
        tellUnfinished(run)
        throw error
      }
      switch outcome {
      case .whole: return try await finish(job, run)
      case .ended: return try await stop(job, run)
      case .oneLeg:
        guard jobs.waits(job.id, for: "waits until both legs are in step") else { return try await stop(job, run) }
        do { try await Task.sleep(for: StorageLimits.jobPause) } catch { return }
      }
    }
  }

  private func finish(_ job: JobRecord, _ run: ScrubRun) async throws(RPCError) {
    try step("scrub.commit")
    let record = ScrubRecord(endedMilliseconds: environment.now(), report: run.report)
    try await state.write { transaction in
      guard var ended = try Catalog.job(job.id, in: transaction.database), ended.state == .running else { return }
      (ended.state, ended.endedMilliseconds) = (.done, record.endedMilliseconds)
      ended.totalBytes = run.doneBytes
      ended.doneBytes = run.doneBytes
      try transaction.update(ended)
      try transaction.forgetScrubbedLayers(of: job.id)
      try transaction.keep(record, of: run.subject)
    }
  }

  /// What was found is told now where the job was cancelled, and by the next instance where this one ends.
  private func stop(_ job: JobRecord, _ run: ScrubRun) async throws(RPCError) {
    guard jobs.isCancelled(job.id) else { return try await save(run) }
    tellUnfinished(run)
    await end(job, as: .cancelled, reason: nil)
  }

  private func tellUnfinished(_ run: ScrubRun) {
    for layer in run.unfinished { tell(of: layer.report, on: run.subject, layer.layer) }
  }

  // MARK: Running

  /// Bytes of all files of the layers.
  private func length(of subject: ScrubSubject) async throws(RPCError) -> Int64 {
    let layers = try await state.read { database in try Catalog.layers(of: subject, in: database) }
    return await operations.run { layers.reduce(0) { $0 + self.store.length($1) } }
  }

  /// Goes on with a scrub until it is through, or cannot go on.
  private func scrub(_ run: ScrubRun) async throws(RPCError) -> ScrubRun.Outcome {
    while true {
      let layers = try await state.read { database in try Catalog.layers(of: run.subject, in: database) }
      // Identifiers are in order, so that a layer that is made meanwhile is looked at, too.
      guard let next = layers.first(where: { !run.isWhole($0.id) }) else { return .whole }
      guard legs.inStep.count == 2 else { return .oneLeg }
      if Task.isCancelled { return .ended }
      let before = run[next.id]
      let turn = await resyncs.run { self.turn(of: run, next, among: layers) }
      run.put(turn.layer)
      if turn.layer.isWhole { tell(of: turn.layer.report, on: run.subject, next.id) }
      if run.isToBeSaved { try await save(run) }
      if turn.isEnded { return .ended }
      if let failure = turn.failure { try await judge(failure, of: next) }
      if turn.layer == before { do { try await Task.sleep(for: StorageLimits.jobPause) } catch { return .ended } }
    }
  }

  /// Throws where a failure is the layer's: it may also have been renamed or removed meanwhile, or a leg was lost.
  private func judge(_ failure: BlockError, of layer: LayerRecord) async throws(RPCError) {
    let current = try await state.read { database in try Catalog.layer(layer.id, in: database) }
    if current != layer || legs.inStep.count < 2 { return }
    throw Complaint.legUnavailable("scrubbing layer \(layer.path): \(failure)")
  }

  private func turn(of run: ScrubRun, _ layer: LayerRecord, among layers: [LayerRecord]) -> LayerStore.ScrubTurn {
    let total = layers.reduce(0) { $0 + store.length($1) }
    do throws(BlockError) {
      return try store.scrub(layer, from: run[layer.id]) { done in
        guard let job = run.job else { return true }
        return self.jobs.goOn(job, done: run.doneBytes(with: done, in: layer.id), of: total)
      }
    } catch {
      return LayerStore.ScrubTurn(layer: run[layer.id], failure: error)
    }
  }

  private func save(_ run: ScrubRun) async throws(RPCError) {
    guard let job = run.job else { return }
    let changed = run.takeUnsaved()
    try await state.write { transaction in
      for layer in changed { try transaction.note(layer, in: job) }
    }
  }
}
