import Primitives
import RPC
import StorageAPI

/// The errors of this service: each says what happened, what to do, and carries the facts.
enum Complaint {
  static func noSuchVolume(_ volume: VolumeName) -> RPCError {
    RPCError(
      StorageFailure.noSuchVolume, "There is no volume \(volume); volume.list shows those there are.",
      data: ["volume": .string(volume.rawValue)])
  }

  static func volumeExists(_ volume: VolumeName) -> RPCError {
    RPCError(
      StorageFailure.volumeExists, "There is a volume \(volume) already; choose another name or delete that one first.",
      data: ["volume": .string(volume.rawValue)])
  }

  static func connected(_ volume: VolumeName, sessions: Int, generation: Int64) -> RPCError {
    RPCError(
      StorageFailure.volumeInUse,
      sessions == 1
        ? "A client is connected to volume \(volume); shut down the virtual machine that uses it first."
        : "\(sessions) clients are connected to volume \(volume); shut down the virtual machine that uses it first.",
      data: [
        "volume": .string(volume.rawValue), "sessions": .integer(Int64(sessions)), "generation": .integer(generation),
      ])
  }

  static func awaited(_ volume: VolumeName, generation: Int64) -> RPCError {
    RPCError(
      StorageFailure.volumeInUse,
      """
      A client was connected to volume \(volume) when the storage service changed its instance, and may come back; \
      shut down the virtual machine that uses it, or fence the volume.
      """,
      data: ["volume": .string(volume.rawValue), "sessions": 0, "generation": .integer(generation)])
  }

  static func busy(_ name: String, with operation: String) -> RPCError {
    RPCError(
      StorageFailure.volumeInUse, "\(operation) works on \(name); repeat the call when that has ended.",
      data: ["name": .string(name), "operation": .string(operation)])
  }

  static func otherClient(_ volume: VolumeName, user: UInt32, sessions: Int) -> RPCError {
    RPCError(
      StorageFailure.volumeInUse,
      "Volume \(volume) is exported to user \(user), who is connected; fence it before it is exported to another user.",
      data: [
        "volume": .string(volume.rawValue), "clientUserID": .integer(Int64(user)),
        "sessions": .integer(Int64(sessions)),
      ])
  }

  static func noSuch(_ subject: ScrubSubject) -> RPCError {
    switch subject {
    case .volume(let name): noSuchVolume(name)
    case .image(let name): noSuchImage(name)
    }
  }

  static func held(_ volume: VolumeName) -> RPCError {
    RPCError(
      StorageFailure.legUnavailable,
      """
      Volume \(volume) is to be written on both legs only, and one is not in step; bring its I/O module online, or set the \
      policy with volume.setWritePolicy. What was asked for may have been written to one leg.
      """,
      data: ["volume": .string(volume.rawValue)])
  }

  static func oneLeg(_ inStep: [LegID]) -> RPCError {
    RPCError(
      StorageFailure.legUnavailable,
      """
      A scrub compares both legs, and only \(inStep.first.map { "leg \($0)" } ?? "none") is in step; volume.legs tells \
      how they stand, bring the I/O module online.
      """)
  }

  static func noSuchImage(_ image: ImageName) -> RPCError {
    RPCError(
      StorageFailure.noSuchImage, "The library has no image \(image); library.list shows those there are.",
      data: ["image": .string(image.rawValue)])
  }

  static func imageExists(_ image: ImageName) -> RPCError {
    RPCError(
      StorageFailure.imageExists, "The library has an image \(image) already; choose another name.",
      data: ["image": .string(image.rawValue)])
  }

  static func imageInUse(_ image: ImageName, by volumes: [VolumeName]) -> RPCError {
    let names = volumes.prefix(5).map(\.rawValue).joined(separator: ", ")
    let others = volumes.count > 5 ? " and \(volumes.count - 5) more" : ""
    return RPCError(
      StorageFailure.imageInUse, "Image \(image) is the base of \(names)\(others); delete those volumes first.",
      data: ["image": .string(image.rawValue), "volumes": .array(volumes.map { .string($0.rawValue) })])
  }

  static func noUndoLayer(_ volume: VolumeName) -> RPCError {
    RPCError(
      StorageFailure.noUndoLayer,
      "Volume \(volume) has no undo layer; volume.enableUndo puts one on top, from then on writes can be discarded.",
      data: ["volume": .string(volume.rawValue)])
  }

  static func commitUnfinished(_ volume: VolumeName) -> RPCError {
    RPCError(
      StorageFailure.volumeInUse,
      """
      A commit of volume \(volume)'s undo layer began and did not end, so that the layer can no longer be discarded; \
      call volume.commitUndo again to finish it (storage needs free space).
      """,
      data: ["volume": .string(volume.rawValue), "operation": "volume.commitUndo"])
  }

  static func noSuchSnapshot(_ snapshot: SnapshotName, of volume: VolumeName) -> RPCError {
    RPCError(
      StorageFailure.noSuchSnapshot,
      "Volume \(volume) has no snapshot \(snapshot); volume.show shows those there are.",
      data: ["volume": .string(volume.rawValue), "snapshot": .string(snapshot.rawValue)])
  }

  static func snapshotExists(_ snapshot: SnapshotName, of volume: VolumeName) -> RPCError {
    RPCError(
      StorageFailure.snapshotExists,
      "Volume \(volume) has a snapshot \(snapshot) already; choose another name or delete that one first.",
      data: ["volume": .string(volume.rawValue), "snapshot": .string(snapshot.rawValue)])
  }

  static func noSuchCheckpoint(_ checkpoint: CheckpointName, of volume: VolumeName) -> RPCError {
    RPCError(
      StorageFailure.noSuchCheckpoint,
      "Volume \(volume) has no checkpoint \(checkpoint); volume.show shows those there are.",
      data: ["volume": .string(volume.rawValue), "checkpoint": .string(checkpoint.rawValue)])
  }

  static func checkpointExists(_ checkpoint: CheckpointName, of volume: VolumeName) -> RPCError {
    RPCError(
      StorageFailure.checkpointExists,
      "Volume \(volume) has a checkpoint \(checkpoint) already; choose another name or delete that one first.",
      data: ["volume": .string(volume.rawValue), "checkpoint": .string(checkpoint.rawValue)])
  }

  static func tooManyCheckpoints(_ volume: VolumeName) -> RPCError {
    RPCError(
      StorageFailure.tooManyCheckpoints,
      "Volume \(volume) has \(StorageLimits.checkpoints) checkpoints, which is the most; delete some first.",
      data: ["volume": .string(volume.rawValue)])
  }

  static func snapshotUndo(_ volume: VolumeName) -> RPCError {
    RPCError(
      StorageFailure.undoLayerExists,
      "Volume \(volume) has an undo layer; commit or discard it before a snapshot is taken.",
      data: ["volume": .string(volume.rawValue)])
  }

  static func undoFirst(_ volume: VolumeName) -> RPCError {
    RPCError(
      StorageFailure.undoLayerExists,
      "Volume \(volume) has an undo layer; commit or discard it first.",
      data: ["volume": .string(volume.rawValue)])
  }

  static func snapshotsExist(_ volume: VolumeName, _ names: [SnapshotName]) -> RPCError {
    RPCError(
      StorageFailure.snapshotsExist,
      "Volume \(volume) has snapshots, which are based on what it is based on; delete them first.",
      data: ["volume": .string(volume.rawValue), "snapshots": .array(names.map { .string($0.rawValue) })])
  }

  static func tooManySnapshots(_ volume: VolumeName) -> RPCError {
    RPCError(
      StorageFailure.tooManyLayers,
      "Volume \(volume) has \(StorageLimits.snapshots) snapshots, which is the most; delete some first.",
      data: ["volume": .string(volume.rawValue)])
  }

  static func tooManyLayers(_ volume: VolumeName) -> RPCError {
    RPCError(
      StorageFailure.tooManyLayers,
      "Volume \(volume) would have more than \(StorageLimits.chainLayers) layers; delete snapshots or commit some first.",
      data: ["volume": .string(volume.rawValue)])
  }

  static func noSuchJob(_ id: Int64) -> RPCError {
    RPCError(
      StorageFailure.noSuchJob, "There is no job \(id); job.list shows those there are.", data: ["job": .integer(id)])
  }

  static func jobRuns(_ job: JobStatus, on volume: VolumeName) -> RPCError {
    RPCError(
      StorageFailure.volumeInUse,
      """
      Job \(job.job) (\(job.operation)) works on the layers of volume \(volume); repeat the call when it has ended, or \
      end it with job.cancel.
      """,
      data: ["volume": .string(volume.rawValue), "job": .integer(job.job), "operation": .string(job.operation)])
  }

  static func promoteSnapshots(_ volume: VolumeName, _ names: [SnapshotName]) -> RPCError {
    RPCError(
      StorageFailure.snapshotsExist,
      "Volume \(volume) has snapshots; delete them first, or copy the volume into the library with library.capture.",
      data: ["volume": .string(volume.rawValue), "snapshots": .array(names.map { .string($0.rawValue) })])
  }

  static func promoteUndo(_ volume: VolumeName) -> RPCError {
    RPCError(
      StorageFailure.undoLayerExists,
      "Volume \(volume) has an undo layer; commit or discard it before the volume is made into an image.",
      data: ["volume": .string(volume.rawValue)])
  }

  static func promoteBased(_ volume: VolumeName, on image: ImageName) -> RPCError {
    RPCError(
      StorageFailure.basedOnImage,
      """
      Volume \(volume) is based on image \(image), and an image holds its whole content; \
      copy it into the library with library.capture, or call volume.flatten first.
      """,
      data: ["volume": .string(volume.rawValue), "image": .string(image.rawValue)])
  }

  static func staleGeneration(_ volume: VolumeName, asked: Int64, current: Int64) -> RPCError {
    RPCError(
      StorageFailure.staleGeneration,
      "Volume \(volume) was fenced since generation \(asked) was read; its generation is \(current) now.",
      data: [
        "volume": .string(volume.rawValue), "generation": .integer(asked), "currentGeneration": .integer(current),
      ])
  }

  static func outOfRange(_ volume: VolumeName, offset: Int64, count: Int64, size: Int64) -> RPCError {
    RPCError(
      StorageFailure.outOfRange,
      "\(count) bytes at \(offset) do not lie within volume \(volume), which has \(size) bytes.",
      data: [
        "volume": .string(volume.rawValue), "offsetBytes": .integer(offset), "countBytes": .integer(count),
        "sizeBytes": .integer(size),
      ])
  }

  static func size(_ size: Int64?, _ rule: String) -> RPCError {
    RPCError(
      StorageFailure.sizeOutOfRange, rule, data: size.map { ["sizeBytes": .integer($0)] } ?? [:])
  }

  static func legUnavailable(_ reason: String) -> RPCError {
    RPCError(
      StorageFailure.legUnavailable,
      "No leg can take the data (\(reason)); volume.legs tells how they stand, bring an I/O module online.")
  }

  static func outOfSpace(_ what: String) -> RPCError {
    RPCError(
      StorageFailure.outOfSpace,
      """
      There is no space left for \(what) on the legs; delete volumes, images or undo layers that nobody needs, or \
      enlarge the legs' file systems, and repeat the call. No volume is harmed.
      """)
  }

  static func damaged(_ what: String, _ reason: String, path: String? = nil) -> RPCError {
    var data: JSONObject = ["reason": .string(reason)]
    if let path { data["path"] = .string(path) }
    return RPCError(
      StorageFailure.damagedLayer,
      """
      \(what) cannot be opened: \(reason). The file is left as it is; restore the layer from a backup, or delete what \
      is based on it.
      """,
      data: data)
  }

  static func internalError(_ message: String) -> RPCError {
    RPCError(CommonFailure.internalError, message)
  }

  static func invalidParameter(_ message: String) -> RPCError {
    RPCError(CommonFailure.invalidParams, message)
  }
}
