import BlockLayers
import FTVSClient
import Glibc
import NBD
import Primitives
import RPC
import VHD

/// Backs a volume up, also while a virtual machine uses it: all of it, or what changed since the last backup.
///
/// A snapshot is taken together with a checkpoint, read over NBD and deleted again; the checkpoint stays, until the next
/// backup is whole, so that what changes is known.
struct BackupRun: Sendable {
  let session: Session
  let volume: VolumeName
  let folder: BackupFolder
  /// Whether everything is copied, whatever is known.
  let isFull: Bool

  /// Why a backup is a full one.
  enum Reason: Equatable {
    case asked, first, forgotten(String), resized

    var sentence: String {
      switch self {
      case .asked: "everything, as was asked for"
      case .first: "everything, because it is the first one here"
      case .forgotten(let backup): "everything, because the volume does not know any more what changed since \(backup)"
      case .resized: "everything, because the volume has another size than before"
      }
    }
  }

  /// What was done.
  struct Outcome {
    var backup: Backup
    var reason: Reason?
  }

  func run() async throws -> Outcome {
    // No folder is made for a volume that is not there.
    _ = try await session.call(ShowVolume.self, .init(volume: volume), on: .storage)
    let lock = try folder.lock()
    defer { withExtendedLifetime(lock) {} }
    for begun in try folder.cut() { try await settle(begun) }
    let status = try await session.call(ShowVolume.self, .init(volume: volume), on: .storage)
    let last = try folder.backups().last
    let reason = try await reason(last, status)
    // Later than the last one whatever the clock says: their order is told by it.
    let taken = max(Times.current.now, (last?.takenMilliseconds ?? 0) + 1)
    let name = try freeName(at: taken)
    let checkpoint = CheckpointName(
      unchecked: "backup-\(name)-\(String(UInt16.random(in: 0x1000 ... .max), radix: 16))")
    let begun = BackupFolder.Begun(name: name, checkpoint: checkpoint, older: last?.checkpoint)
    var backup = Backup(
      name: name, volume: volume, checkpoint: checkpoint, parent: reason == nil ? last?.name : nil,
      sizeBytes: status.sizeBytes, copiedBytes: 0, takenMilliseconds: taken)
    try await take(&backup, begun, after: reason == nil ? last : nil)
    do {
      try await settle(begun)
    } catch {
      Terminal.complain("The backup is whole. What it needed is left for the next one to remove: \(error)")
    }
    return Outcome(backup: backup, reason: reason)
  }

  private func reason(_ last: Backup?, _ status: VolumeStatus) async throws -> Reason? {
    if isFull { return .asked }
    guard let last else { return .first }
    guard status.checkpoints.contains(where: { $0.checkpoint == last.checkpoint }) else { return .forgotten(last.name) }
    guard last.sizeBytes == status.sizeBytes else { return .resized }
    do {
      let (folder, chain) = (folder, try folder.chain(of: last))
      try await Blocking.run { for layer in try BackupFile.open(chain, in: folder) { layer.close() } }
      return nil
    } catch {
      throw Complaint("The backups before this one cannot be read: \(error). --full begins anew.", .noInput)
    }
  }

  private func freeName(at milliseconds: Int64) throws(Complaint) -> String {
    let taken = try folder.backups().map(\.name) + folder.cut().map(\.name)
    let name = Times.compactUTC(milliseconds)
    guard taken.contains(name) else { return name }
    return (2...).lazy.map { "\(name)-\($0)" }.first { !taken.contains($0) } ?? name
  }

  // MARK: The copy

  /// Makes the backup; when that fails, or is interrupted, nothing is left of it.
  private func take(_ backup: inout Backup, _ begun: BackupFolder.Begun, after last: Backup?) async throws {
    let interruption = Interruption()
    let interrupted = InterruptGuard { await interruption.askAndWait() }
    defer { interrupted.disarm() }
    do {
      try folder.write(begun.text, to: begun.name, "begun")
      try await copy(&backup, after: last, until: interruption)
    } catch {
      try? await settle(begun)
      interruption.end()
      // Whoever interrupted ends the program.
      if interruption.isAsked { try? await Task.sleep(for: .seconds(10)) }
      throw error
    }
  }

  private func copy(_ backup: inout Backup, after last: Backup?, until interruption: Interruption) async throws {
    let snapshot = SnapshotName(unchecked: backup.checkpoint.rawValue)
    let params = CreateSnapshot.Params(
      volume: volume, snapshot: snapshot, description: "A backup is being made of it.", checkpoint: backup.checkpoint)
    _ = try await session.call(CreateSnapshot.self, RequestKey.filled(in: params), on: .storage)
    try await waitForJobs()
    let export = try await session.call(
      ExportVolumeToCaller.self, .init(volume: volume, snapshot: snapshot), on: .storage)
    backup.sizeBytes = export.sizeBytes
    let bitmap = last.map { "qemu:dirty-bitmap:\($0.checkpoint)" }
    let source = SnapshotSource(export: export, socketPath: session.nbdSocket(export), bitmap: bitmap)
    let folder = folder
    let chain = try last.map { try folder.chain(of: $0) } ?? []
    let (path, title) = (folder.file(backup.name, "part"), "Backing up \(volume)")
    let progress = Progress()
    defer { progress.clear() }
    backup.copiedBytes = try await Blocking.run {
      try BackupFile.write(path, from: source, over: chain, in: folder, until: interruption) { done, total in
        progress.show(title, done: done, of: total)
      }
    }
    try interruption.check()
    try folder.finish(backup.name)
    try folder.write(backup)
  }

  /// Nobody may read a volume's layers while they are merged, as they are after a snapshot was deleted.
  private func waitForJobs() async throws {
    let progress = Progress()
    defer { progress.clear() }
    while true {
      let jobs = try await session.call(ListJobs.self, Nothing(), on: .storage).jobs
      guard let job = jobs.first(where: { $0.state == .running && $0.subject == volume.rawValue }) else { return }
      progress.show("Waiting for job \(job.job)", done: job.doneBytes, of: max(job.totalBytes, 1))
      try await Task.sleep(for: .milliseconds(100))
    }
  }

  // MARK: What is left

  /// Goes on to the end with a backup that is whole, and removes one that is not.
  private func settle(_ begun: BackupFolder.Begun) async throws {
    let isWhole = access(folder.file(begun.name, "json"), F_OK) == 0
    if !isWhole { folder.remove(begun.name, "part", "vhd") }
    try await deleteSnapshot(begun.checkpoint)
    if isWhole {
      if let older = begun.older { try await delete(older) }
    } else {
      try await delete(begun.checkpoint)
    }
    // What is noted in the folder has the next backup try again.
    folder.remove(begun.name, "begun")
  }

  /// Does nothing where there is none. A connection that was just ended may last a moment longer.
  private func deleteSnapshot(_ checkpoint: CheckpointName) async throws {
    let params = DeleteSnapshot.Params(volume: volume, snapshot: SnapshotName(unchecked: checkpoint.rawValue))
    for attempt in 1... {
      do throws(RPCError) {
        _ = try await session.call(DeleteSnapshot.self, RequestKey.filled(in: params), on: .storage)
        return
      } catch {
        if error.matches(StorageFailure.noSuchSnapshot) || error.matches(StorageFailure.noSuchVolume) { return }
        guard error.matches(StorageFailure.volumeInUse), attempt < 50 else { throw error }
        try await Task.sleep(for: .milliseconds(100))
      }
    }
  }

  private func delete(_ checkpoint: CheckpointName) async throws {
    do throws(RPCError) {
      let params = DeleteCheckpoint.Params(volume: volume, checkpoint: checkpoint)
      _ = try await session.call(DeleteCheckpoint.self, RequestKey.filled(in: params), on: .storage)
    } catch {
      guard error.matches(StorageFailure.noSuchCheckpoint) || error.matches(StorageFailure.noSuchVolume) else {
        throw error
      }
    }
  }
}
