import Primitives
import StorageAPI

/// A volume as the state holds it.
struct VolumeRecord: Sendable, Equatable {
  var name: VolumeName
  var sizeBytes: Int64
  /// Identifier of the topmost layer.
  var top: String
  var generation: Int64
  /// Unix user that may connect in this generation; nil when the volume is not exported.
  var clientUser: UInt32?
  /// Whether a client of this generation is connected, or was when the service ended.
  var connected: Bool
  var openForWriting: Bool
  var legsDiffer: Bool
  var createdMilliseconds: Int64
  var policy = WritePolicy()
  /// Times that it was opened for writing.
  var openings: Int64 = 0

  /// Name under which NBD clients reach it in this generation.
  var exportName: String { ExportName(volume: name, generation: generation).description }
}

/// An image as the state holds it.
struct ImageRecord: Sendable, Equatable {
  var name: ImageName
  var sizeBytes: Int64
  var top: String
  var description: String
  var operatingSystem = ""
  var tags: [String] = []
  var createdMilliseconds: Int64
  /// SHA-256 of its content in hexadecimal; nil until it was computed.
  var contentSHA256: String?
  var lastScrub: ScrubRecord?
}

/// A layer as the state holds it: it belongs to a volume or to an image.
struct LayerRecord: Sendable, Equatable {
  enum Owner: Sendable, Equatable {
    case volume(VolumeName)
    case image(ImageName)
  }

  /// The unique identifier in the footer of its file: 36 characters, lower case.
  var id: String
  var role: LayerRole
  var parent: String?
  var owner: Owner

  /// Where its file is, from the storage directory of a leg on.
  var path: String {
    switch owner {
    case .volume(let volume): "\(LegFiles.volumes)/\(volume)/\(id).vhd"
    case .image(let image): "\(LegFiles.images)/\(image)/\(id).vhd"
    }
  }

  var image: ImageName? {
    guard case .image(let name) = owner else { return nil }
    return name
  }
}

/// A snapshot as the state holds it.
struct SnapshotRecord: Sendable, Equatable {
  var volume: VolumeName
  var name: SnapshotName
  /// The layer that is topmost of what the snapshot keeps.
  var layer: String
  var sizeBytes: Int64
  var description: String
  var createdMilliseconds: Int64
}

/// A checkpoint as the state holds it: a moment from which on it is kept what changed.
struct CheckpointRecord: Sendable, Equatable {
  /// Higher than that of every checkpoint made before.
  var id: Int64 = 0
  var volume: VolumeName
  var name: CheckpointName
  var snapshot: SnapshotName?
  /// Size of the volume at that moment.
  var sizeBytes: Int64
  var isAllChanged = false
  var createdMilliseconds: Int64
}

/// A volume with its layers, topmost first; those of its image are among them.
struct Chain: Sendable, Equatable {
  var volume: VolumeRecord
  var layers: [LayerRecord]
  /// The volume's layers that its content does not come from: other branches of the tree of its snapshots, and what jobs
  /// are making.
  var branches: [LayerRecord] = []
  /// The oldest first.
  var snapshots: [SnapshotRecord] = []
  /// The oldest first.
  var checkpoints: [CheckpointRecord] = []
  var lastScrub: ScrubRecord?

  /// The image that the volume is based on.
  var image: ImageName? { layers.lazy.compactMap(\.image).first }
  var hasUndoLayer: Bool { layers.first?.role == .undo }
  /// The layers that only this volume uses.
  var ownLayers: [LayerRecord] { layers.filter { $0.image == nil } + branches }
}

/// A commit that began and must be finished.
struct CommitRecord: Sendable, Equatable {
  var volume: VolumeName
  var layer: String
  var keepEnabled: Bool?
  var requestKey: String?
}

/// `VOLUME.GENERATION`: a volume's name may hold dots, the generation is what follows the last one.
struct ExportName: Sendable, Hashable, CustomStringConvertible {
  var volume: VolumeName
  var generation: Int64

  init(volume: VolumeName, generation: Int64) {
    self.volume = volume
    self.generation = generation
  }

  init?(_ text: String) {
    guard let dot = text.lastIndex(of: "."), let volume = VolumeName(rawValue: String(text[..<dot])),
      let generation = Int64(text[text.index(after: dot)...]), generation > 0,
      ExportName(volume: volume, generation: generation).description == text
    else { return nil }
    self.init(volume: volume, generation: generation)
  }

  var description: String { "\(volume).\(generation)" }
}
