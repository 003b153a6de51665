import Primitives
import RPC

/// Looks whether the structures of a volume's layers are as they should be, on each leg. Reads only, also while the
/// volume is in use; a file that is being written may show blocks that are not in its table yet.
public enum CheckVolume: RPCMethod {
  public static let name = "volume.check"
  public static let summary = "Looks whether the structures of a volume's layers are as they should be, on each leg."
  public static let access = Access.operator
  public static let effect = Effect.read
  public static let failures: [StorageFailure] = [.noSuchVolume, .legUnavailable]

  /// What `volume.check` is told.
  public struct Params: WireObject, Equatable {
    /// The volume.
    public var volume: VolumeName

    public enum CodingKeys: CodingKey, CaseIterable {
      case volume
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .volume: Field(\.volume, "The volume.")
      }
    }

    public init(volume: VolumeName) {
      self.volume = volume
    }
  }

  /// What `volume.check` answers.
  public struct Result: WireObject, Equatable {
    /// Whether all can be read as it was written.
    public var isSound: Bool
    /// Files that were looked at.
    public var layers: Int
    /// What was found, at most 1,000.
    public var findings: [LayerFinding]

    public enum CodingKeys: CodingKey, CaseIterable {
      case isSound, layers, findings
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .isSound: Field(\.isSound, "Whether all can be read as it was written.")
      case .layers: Field(\.layers, "Files that were looked at.")
      case .findings: Field(\.findings, "What was found, at most 1,000.")
      }
    }

    public init(isSound: Bool, layers: Int, findings: [LayerFinding]) {
      self.isSound = isSound
      self.layers = layers
      self.findings = findings
    }
  }
}
