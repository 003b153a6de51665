import BlockLayers
import FTVSClient
import NBD
import Primitives
import RPC
import VHD

/// Makes a new volume with the content of a backup.
struct BackupRestore: Sendable {
  let session: Session
  let folder: BackupFolder
  let backup: Backup

  func run(as volume: VolumeName, restart: Bool) async throws -> VolumeStatus {
    let chain = try folder.chain(of: backup)
    let folder = folder
    let interruption = Interruption()
    let new = NewVolume(session: session, word: "restoration", onInterrupt: { interruption.ask() })
    return try await new.make(volume, sizeBytes: backup.sizeBytes, restart: restart) {
      let export = try await session.call(ExportVolumeToCaller.self, .init(volume: volume), on: .storage)
      let socket = session.nbdSocket(export)
      let progress = Progress()
      defer { progress.clear() }
      try await Blocking.run {
        try Self.copy(chain, in: folder, to: export, socket, until: interruption) { done, total in
          progress.show("Restoring \(volume)", done: done, of: total)
        }
      }
    }
  }

  private static func copy(
    _ chain: [Backup], in folder: BackupFolder, to export: CallerExport, _ socketPath: String,
    until interruption: Interruption, progress: (_ done: Int64, _ total: Int64) -> Void
  ) throws {
    let layers = try BackupFile.open(chain, in: folder)
    defer { for layer in layers { layer.close() } }
    guard let source = layers.last, source.size == export.sizeBytes else {
      throw Complaint("The file of backup \(chain.last?.name ?? "") has another size than its volume had.", .noInput)
    }
    let target = try NBDClient(socketPath: socketPath, export: export.exportName)
    defer { target.close() }
    _ = try BlockCopy.copy(from: source, to: target) { done, total in
      progress(done, total)
      return !interruption.isAsked
    }
    try interruption.check()
    try target.flush()
  }
}
