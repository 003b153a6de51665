import RPC

/// Failures of this service, beside the common ones. Codes are stable; new ones are added at the end.
public enum StorageFailure: Int, RPCFailure {
  case noSuchVolume = 3001
  case volumeExists
  case volumeInUse
  case noSuchImage
  case imageExists
  case imageInUse
  case noUndoLayer
  case undoLayerExists
  case sizeOutOfRange
  case staleGeneration
  case outOfRange
  case legUnavailable
  case outOfSpace
  case damagedLayer
  case sourceUnreadable
  case basedOnImage
  case noSuchSnapshot
  case snapshotExists
  case snapshotsExist
  case tooManyLayers
  case noSuchJob
  case noSuchCheckpoint
  case checkpointExists
  case tooManyCheckpoints

  public var summary: String {
    switch self {
    case .noSuchVolume: "No volume has that name."
    case .volumeExists: "Another volume has that name."
    case .volumeInUse: "The volume is exported, or an operation works on it."
    case .noSuchImage: "The library has no image of that name."
    case .imageExists: "Another image has that name."
    case .imageInUse: "Volumes are based on the image."
    case .noUndoLayer: "The volume has no undo layer."
    case .undoLayerExists: "The volume has an undo layer already."
    case .sizeOutOfRange: "The size is not allowed."
    case .staleGeneration: "The export was fenced since that generation was read."
    case .outOfRange: "The bytes lie outside of the volume."
    case .legUnavailable: "No leg can take the data."
    case .outOfSpace: "There is not enough space."
    case .damagedLayer: "A layer file is damaged or does not fit its parent."
    case .sourceUnreadable: "The file to read from cannot be read."
    case .basedOnImage: "The volume is based on an image, and the operation is for volumes that are not."
    case .noSuchSnapshot: "The volume has no snapshot of that name."
    case .snapshotExists: "The volume has a snapshot of that name already."
    case .snapshotsExist: "The volume has snapshots, and the operation is for volumes without."
    case .tooManyLayers: "The volume's chain has as many layers as are allowed."
    case .noSuchJob: "No job has that number."
    case .noSuchCheckpoint: "The volume has no checkpoint of that name."
    case .checkpointExists: "The volume has a checkpoint of that name already."
    case .tooManyCheckpoints: "The volume has as many checkpoints as are allowed."
    }
  }
}
