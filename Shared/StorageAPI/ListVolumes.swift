import RPC

/// Lists the volumes.
public enum ListVolumes: RPCMethod {
  public static let name = "volume.list"
  public static let summary = "Lists the volumes."
  public static let access = Access.viewer
  public static let effect = Effect.read

  public typealias Params = Nothing

  /// What `volume.list` answers.
  public struct Result: WireObject, Equatable {
    /// By name.
    public var volumes: [VolumeStatus]

    public enum CodingKeys: CodingKey, CaseIterable {
      case volumes
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .volumes: Field(\.volumes, "By name.")
      }
    }

    public init(volumes: [VolumeStatus]) {
      self.volumes = volumes
    }
  }
}
