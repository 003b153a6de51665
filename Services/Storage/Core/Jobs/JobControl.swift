import Primitives
import RPC
import StorageAPI
import Synchronization

/// What is in memory of the jobs that run: how far they are, and whether they are to end.
final class JobControl: Sendable {
  private struct Entry {
    var doneBytes: Int64
    var totalBytes: Int64
    var reason: String?
    var isCancelled = false
    /// Volume whose lock the job holds until it ends.
    var lock: VolumeName?
  }

  private let entries = Mutex<[Int64: Entry]>([:])
  private let isStopping = Atomic(false)
  /// The jobs that are to be run.
  let queue: AsyncStream<Int64>
  private let enqueue: AsyncStream<Int64>.Continuation

  init() { (queue, enqueue) = AsyncStream.makeStream() }

  /// Has a job run. Its volume's lock, where it holds one, is given back when it has ended.
  func begin(_ job: JobRecord, holding lock: VolumeName? = nil) {
    entries.withLock {
      $0[job.id] = Entry(doneBytes: job.doneBytes, totalBytes: job.totalBytes, reason: job.reason, lock: lock)
    }
    enqueue.yield(job.id)
  }

  /// Whether a job holds its volume's lock.
  func holdsLock(_ job: Int64) -> Bool { entries.withLock { $0[job]?.lock != nil } }

  /// Takes the lock that a job holds out of its hands, for the caller to release.
  func takeLock(_ job: Int64) -> VolumeName? {
    entries.withLock { entries in
      defer { entries[job]?.lock = nil }
      return entries[job]?.lock
    }
  }

  /// Forgets a job that ended; returns the volume whose lock it held.
  func end(_ job: Int64) -> VolumeName? { entries.withLock { $0.removeValue(forKey: job)?.lock } }

  /// Notes how far a job is. False when it is to end.
  func goOn(_ job: Int64, done: Int64, of total: Int64) -> Bool {
    entries.withLock { entries in
      entries[job]?.doneBytes = done
      entries[job]?.totalBytes = total
      entries[job]?.reason = nil
      return entries[job]?.isCancelled != true
    } && !isStopping.load(ordering: .acquiring)
  }

  /// Notes what a job waits for. False when it is to end.
  func waits(_ job: Int64, for reason: String) -> Bool {
    entries.withLock { entries in
      entries[job]?.reason = reason
      return entries[job]?.isCancelled != true
    } && !isStopping.load(ordering: .acquiring)
  }

  /// Has a job end. False when it does not run.
  func cancel(_ job: Int64) -> Bool {
    entries.withLock { entries in
      guard entries[job] != nil else { return false }
      entries[job]?.isCancelled = true
      return true
    }
  }

  func isRunning(_ job: Int64) -> Bool { entries.withLock { $0[job] != nil } }

  func isCancelled(_ job: Int64) -> Bool { entries.withLock { $0[job]?.isCancelled == true } }

  /// Has every job end where it is; the next instance goes on with it.
  func stop() { isStopping.store(true, ordering: .releasing) }

  /// The job as callers see it, with what is newer than the state knows.
  func status(_ job: JobRecord) -> JobStatus {
    var status = job.status
    guard status.state == .running, let entry = entries.withLock({ $0[job.id] }) else { return status }
    status.doneBytes = max(entry.doneBytes, status.doneBytes)
    status.totalBytes = max(entry.totalBytes, status.totalBytes)
    status.reason = entry.reason ?? status.reason
    return status
  }
}
