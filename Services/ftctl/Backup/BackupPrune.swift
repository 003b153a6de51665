import BlockLayers
import FTVSClient
import Glibc
import Primitives
import VHD

/// Removes the oldest backups of a volume. One that stays and was based on one that goes becomes a full one first.
///
/// Safe to repeat after a kill at any point: a file is replaced by one with the same content and the same identity, so that
/// the backup after it finds its parent, and a backup is taken off the list before its file goes.
struct BackupPrune: Sendable {
  let folder: BackupFolder
  /// How many of the newest stay, at least one.
  let keep: Int

  /// What was done.
  struct Outcome {
    var removed: [Backup]
    var kept: [Backup]
    /// Names of those that became full ones.
    var completed: [String]
  }

  func run() async throws -> Outcome {
    let lock = try folder.lock()
    defer { withExtendedLifetime(lock) {} }
    try folder.finishRemovals()
    let all = try folder.backups()
    // Left by one that was killed.
    for backup in all { folder.remove(backup.name, "part") }
    var outcome = Outcome(removed: Array(all.dropLast(keep)), kept: Array(all.suffix(keep)), completed: [])
    let names = Set(outcome.kept.map(\.name))
    for (index, backup) in outcome.kept.enumerated() {
      guard let parent = backup.parent, !names.contains(parent) else { continue }
      outcome.kept[index] = try await complete(backup)
      outcome.completed.append(backup.name)
    }
    // The newest first: what is left is whole, wherever this ends.
    for backup in outcome.removed.reversed() { try folder.removeBackup(backup.name) }
    return outcome
  }

  /// Puts a dynamic file with the whole content in place of a differencing one.
  private func complete(_ backup: Backup) async throws -> Backup {
    let chain = try folder.chain(of: backup)
    let part = folder.file(backup.name, "part")
    let interruption = Interruption()
    let interrupted = InterruptGuard { await interruption.askAndWait() }
    defer { interrupted.disarm() }
    var full = backup
    do {
      let folder = folder
      let progress = Progress()
      defer { progress.clear() }
      full.copiedBytes = try await Blocking.run {
        try BackupFile.writeWhole(part, as: chain, in: folder, until: interruption) { done, total in
          progress.show("Completing \(backup.name)", done: done, of: total)
        }
      }
      try folder.finish(backup.name)
      full.parent = nil
      try folder.write(full)
    } catch {
      folder.remove(backup.name, "part")
      interruption.end()
      // Whoever interrupted ends the program.
      if interruption.isAsked { try? await Task.sleep(for: .seconds(10)) }
      throw error
    }
    return full
  }
}

extension BackupFile {
  /// Writes a new dynamic file durably that holds all that the last file of a chain shows, has its identity, and was
  /// compared with it. Returns how many bytes it stores.
  static func writeWhole(
    _ path: String, as chain: [Backup], in folder: BackupFolder, until interruption: Interruption,
    progress: (_ done: Int64, _ total: Int64) -> Void
  ) throws -> Int64 {
    unlink(path)
    let layers = try open(chain, in: folder)
    defer { for layer in layers { layer.close() } }
    guard let source = layers.last else { return 0 }
    do throws(BlockError) {
      let file = try PosixFile(path: path, mode: .create)
      defer { file.close() }
      try VHDLayer.createDynamic(file, size: source.size, identity: source.identity)
      let layer = try VHDLayer.open(file)
      let isWhole = try BlockCopy.copy(from: source, to: layer) { done, total in
        progress(done / 2, total)
        return !interruption.isAsked
      }
      if isWhole { try layer.flush() }
    } catch {
      guard error.kind == .noSpace else { throw error }
      throw Complaint("There is no space left for \(path).", .system)
    }
    try interruption.check()
    let written = try VHDLayer.open(try PosixFile(path: path, mode: .read), readOnly: true)
    defer { written.close() }
    try compare(source, written, path, until: interruption, progress: progress)
    return written.allocatedBytes
  }

  private static func compare(
    _ source: VHDLayer, _ written: VHDLayer, _ path: String, until interruption: Interruption,
    progress: (_ done: Int64, _ total: Int64) -> Void
  ) throws {
    do throws(BlockError) {
      // What differs would be written, and the file was opened for reading.
      _ = try BlockCopy.copyDifferences(from: source, to: written) { done, total in
        progress((total + done) / 2, total)
        return !interruption.isAsked
      }
    } catch {
      guard error.kind == .readOnly else { throw error }
      throw Complaint("\(path) does not hold what was written to it; check the disk it is on.", .system)
    }
    try interruption.check()
  }
}
