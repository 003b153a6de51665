import Primitives
import RPC

/// Where a volume can be reached.
public struct ExportStatus: WireObject, Equatable {
  /// The volume.
  public var volume: VolumeName
  /// The NBD export name; it contains the generation.
  public var exportName: String
  /// The Unix socket of the NBD server.
  public var socketPath: String
  /// Its size.
  public var sizeBytes: Int64
  /// The generation that this export is valid for.
  public var generation: Int64

  public enum CodingKeys: CodingKey, CaseIterable {
    case volume, exportName, socketPath, sizeBytes, generation
  }

  public static func field(_ key: CodingKeys) -> Field<ExportStatus> {
    switch key {
    case .volume: Field(\.volume, "The volume.")
    case .exportName: Field(\.exportName, "The NBD export name; it contains the generation.")
    case .socketPath: Field(\.socketPath, "The Unix socket of the NBD server.")
    case .sizeBytes: Field(\.sizeBytes, "Its size.")
    case .generation: Field(\.generation, "The generation that this export is valid for.")
    }
  }

  public init(volume: VolumeName, exportName: String, socketPath: String, sizeBytes: Int64, generation: Int64) {
    self.volume = volume
    self.exportName = exportName
    self.socketPath = socketPath
    self.sizeBytes = sizeBytes
    self.generation = generation
  }
}
