import BlockLayers
import ControlState
import Primitives
import RPC
import StorageAPI

/// Merging layers that nobody needs for themselves into those that were made on them, while the volume is used.
///
/// The upper layer of a pair is written no more. What it holds is copied into the lower one, which it covers meanwhile;
/// then the lower one takes its place: its identity, its name, its row. Wherever this stops, the volume reads the same.
extension StorageService {
  /// Merges what can be merged, pair by pair.
  func mergeLayers(_ first: JobRecord) async throws(RPCError) {
    var job = first
    var setAside = false
    if job.isReplacing {
      try await finishReplacingLater(job)
      (job.isReplacing, job.source, job.target) = (false, nil, nil)
    }
    while true {
      guard jobs.goOn(job.id, done: job.doneBytes, of: job.totalBytes) else { return await stopMerging(job) }
      let next = try await locks.with(job.volume.rawValue, for: job.operation.rawValue, patience: .seconds(600)) {
        () throws(RPCError) in try await nextMerge(for: job, maySetAside: !setAside)
      }
      switch next {
      case .none: return
      case .stopped: return await stopMerging(job)
      case .setAside: setAside = true
      case .merged: break
      case .wait:
        guard jobs.waits(job.id, for: "waits for another operation") else { return await stopMerging(job) }
        do { try await Task.sleep(for: StorageLimits.jobPause) } catch { return }
      case .fold(let folding):
        job = folding
        guard try await fold(job, on: copies) else { return await stopMerging(job) }
        guard try await replace(job) else { return await stopMerging(job) }
      }
    }
  }

  /// Has layers merged that were left when the volume was in use. The caller holds the volume's lock.
  func beginLeftMerge(of volume: VolumeName) async throws(RPCError) {
    guard !isStopping.load(ordering: .acquiring), readers.count(volume.rawValue) == 0 else { return }
    let found = try await state.read { database in
      (try Catalog.chain(of: volume, in: database), try Catalog.runningJob(on: volume, in: database))
    }
    guard let chain = found.0, found.1 == nil, SnapshotTree(chain).mergeable != nil else { return }
    let now = environment.now()
    let job = try await state.write { transaction in
      try transaction.insert(JobRecord(id: 0, operation: .mergeLayers, volume: volume, createdMilliseconds: now))
    }
    jobs.begin(job)
  }

  private enum NextMerge {
    /// There is nothing that could be merged now.
    case none
    /// A new layer was put on top, so that the one below is written no more.
    case setAside
    /// A pair was merged while nobody could use the volume.
    case merged
    /// Something else works with the layers.
    case wait
    /// The job is to end.
    case stopped
    /// A pair of which neither is written.
    case fold(JobRecord)
  }

  /// Decides what to do next, and does it when it takes no time. The caller holds the volume's lock.
  private func nextMerge(for job: JobRecord, maySetAside: Bool) async throws(RPCError) -> NextMerge {
    let chain = try await chain(of: job.volume)
    guard let pair = SnapshotTree(chain).mergeable else { return try await ended(job) }
    guard pair.upper.id == chain.volume.top else { return .fold(try await begin(pair, in: job)) }
    let isUsed = table.sessionCount(of: job.volume) > 0 || chain.volume.connected
    if !isUsed {
      try await closeUnusedLayers(of: job.volume)
      let primary = legs.inStep.first
      let held = await operations.run { primary.map { self.files.allocatedBytes(pair.upper.path, on: $0) } ?? .max }
      if held <= StorageLimits.quickMergeBytes {
        // Not waited for: nobody could use the volume meanwhile.
        guard let hold = await ThreadHold.take(resyncs, within: StorageLimits.jobPause) else { return .wait }
        defer { hold.release() }
        guard !state.legs().contains(where: { $0.state == .resyncing }) else { return .wait }
        let folding = try await begin(pair, in: job)
        guard try await fold(folding, on: operations) else { return .stopped }
        try await replaceLocked(folding)
        return .merged
      }
    }
    // What was written since to the topmost layer of a volume in use stays there until nobody uses it.
    guard maySetAside, chain.layers.count < StorageLimits.chainLayers else { return try await ended(job) }
    let plan = Self.withNewTop(chain)
    try await changingTop(of: chain, to: plan, step: "merge.setAside") { () throws(RPCError) in
      try await state.write { transaction in try Self.putOnTop(plan, in: &transaction) }
    }
    return .setAside
  }

  /// Notes which layers are being merged: from then on the lower one is overwritten.
  private func begin(_ pair: SnapshotTree.Pair, in job: JobRecord) async throws(RPCError) -> JobRecord {
    try step("merge.begin")
    return try await state.write { transaction in
      var folding = job
      folding.source = pair.upper.id
      folding.target = pair.lower.id
      try transaction.update(folding)
      try transaction.execute("UPDATE volume SET openForWriting = 1 WHERE name = ?", [job.volume.rawValue])
      return folding
    }
  }

  /// Copies what the upper layer holds into the lower one. False when it was ended.
  private func fold(_ job: JobRecord, on pool: WorkerPool) async throws(RPCError) -> Bool {
    try step("merge.fold")
    let layers = SnapshotTree(try await chain(of: job.volume)).chain(from: job.source ?? "")
    let image = try await state.read { database in
      try layers.last?.parent.map { try Catalog.chain(from: $0, in: database) } ?? []
    }
    return try await blocking(on: pool) { () throws(RPCError) in
      try self.store.fold(layers + image) { done, total in self.jobs.goOn(job.id, done: done, of: total) }
    }
  }

  /// Has the lower layer take the upper one's place, once no leg is being copied to. False when the job is to end.
  private func replace(_ job: JobRecord) async throws(RPCError) -> Bool {
    while true {
      if try await tryToReplace(job) { return true }
      let resyncing = state.legs().first { $0.state == .resyncing }
      let reason = resyncing.map { "waits until leg \($0.leg) is in step" } ?? "waits for another operation"
      guard jobs.waits(job.id, for: reason) else { return false }
      do { try await Task.sleep(for: StorageLimits.jobPause) } catch { return false }
    }
  }

  /// False when something else works with the layers, or on the volume.
  private func tryToReplace(_ job: JobRecord) async throws(RPCError) -> Bool {
    guard !state.legs().contains(where: { $0.state == .resyncing }) else { return false }
    let hold = await ThreadHold.take(resyncs)
    defer { hold.release() }
    // The thread is given back rather than waited with: who holds the lock may wait for it.
    do throws(RPCError) {
      try await locks.acquire(job.volume.rawValue, for: job.operation.rawValue, patience: StorageLimits.jobPause)
    } catch { return false }
    defer { locks.release(job.volume.rawValue) }
    guard !state.legs().contains(where: { $0.state == .resyncing }) else { return false }
    try await replaceLocked(job)
    return true
  }

  /// The caller holds the volume's lock, and the thread of what compares, copies and scrubs layers: nobody else has them
  /// open.
  private func replaceLocked(_ job: JobRecord) async throws(RPCError) {
    try step("merge.replace")
    let replacing = try await freeingSpace { () throws(RPCError) in
      try await state.write { transaction in
        var replacing = job
        replacing.isReplacing = true
        try transaction.update(replacing)
        return replacing
      }
    }
    // What takes time comes before clients have to wait.
    let pair = try await pair(of: replacing)
    try step("merge.identity")
    try await blocking { () throws(RPCError) in try self.store.giveIdentity(of: pair.upper, to: pair.lower) }
    try await withClientsWaiting(for: job.volume) { () throws(RPCError) in
      try await finishReplacing(replacing, hasIdentity: true)
    }
  }

  /// Finishes what stopped between the files and the state; until that is done the volume cannot be opened.
  private func finishReplacingLater(_ job: JobRecord) async throws(RPCError) {
    let hold = await ThreadHold.take(resyncs)
    defer { hold.release() }
    if jobs.holdsLock(job.id) {
      try await finishReplacing(job)
      if let volume = jobs.takeLock(job.id) { locks.release(volume.rawValue) }
      return
    }
    try await locks.with(job.volume.rawValue, for: job.operation.rawValue) { () throws(RPCError) in
      try await withClientsWaiting(for: job.volume) { () throws(RPCError) in try await finishReplacing(job) }
    }
  }

  /// Puts the merged layer into its place, however much of that was done before. Nobody may have the volume open.
  ///
  /// - Parameter hasIdentity: whether the merged layer has the identity of the one whose place it takes, on every leg.
  func finishReplacing(_ job: JobRecord, hasIdentity: Bool = false) async throws(RPCError) {
    let pair = try await pair(of: job)
    try step("merge.files")
    try await blocking { () throws(RPCError) in
      // All of it again where it was cut off: it may be done on one leg and not on the other.
      if !hasIdentity { try self.store.giveIdentity(of: pair.upper, to: pair.lower) }
      try self.store.replace(pair.upper, by: pair.lower)
    }
    try step("merge.commit")
    // The volume cannot be opened before this is written.
    try await freeingSpace { () throws(RPCError) in
      try await state.write { transaction in
        try transaction.execute("DELETE FROM layer WHERE id = ?", [pair.lower.id])
        try transaction.execute(
          "UPDATE layer SET role = ?, parent = ? WHERE id = ?",
          [pair.lower.role.rawValue, pair.lower.parent, pair.upper.id])
        var merged = job
        (merged.isReplacing, merged.source, merged.target) = (false, nil, nil)
        try transaction.update(merged)
      }
    }
  }

  private func pair(of job: JobRecord) async throws(RPCError) -> SnapshotTree.Pair {
    let pair = try await state.read { database -> SnapshotTree.Pair? in
      guard let upper = try job.source.flatMap({ try Catalog.layer($0, in: database) }),
        let lower = try job.target.flatMap({ try Catalog.layer($0, in: database) })
      else { return nil }
      return SnapshotTree.Pair(upper: upper, lower: lower)
    }
    guard let pair else { throw Complaint.internalError("job \(job.id) has no layers to merge") }
    return pair
  }

  /// All was merged that can be now. The caller holds the volume's lock.
  private func ended(_ job: JobRecord) async throws(RPCError) -> NextMerge {
    let isOpen = table.stack(of: job.volume) != nil
    try await noteEnd(of: job, as: .done, clearingMark: !isOpen)
    return .none
  }

  /// Ends a job between two pairs, when that was asked for; the volume reads the same, with more layers than it needs.
  private func stopMerging(_ job: JobRecord) async {
    guard jobs.isCancelled(job.id) else { return }
    // Whether the volume is in use is known only with its lock: the mark stays until it is closed the next time.
    try? await noteEnd(of: job, as: .cancelled, clearingMark: false)
  }

  private func noteEnd(
    of job: JobRecord, as outcome: JobState, clearingMark: Bool
  ) async throws(RPCError) {
    try await state.write { transaction in
      guard var ended = try Catalog.job(job.id, in: transaction.database) else { return }
      ended.state = outcome
      ended.endedMilliseconds = self.environment.now()
      try transaction.update(ended)
      if clearingMark {
        try transaction.execute("UPDATE volume SET openForWriting = 0 WHERE name = ?", [job.volume.rawValue])
      }
    }
  }
}
