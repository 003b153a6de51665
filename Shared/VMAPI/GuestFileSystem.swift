import Primitives
import RPC

/// A file system as a guest's agent sees it.
public struct GuestFileSystem: WireObject, Equatable {
  /// Where it is mounted.
  public var mountPoint: String
  /// Its kind, such as ext4.
  public var kind: String
  /// Its size; left out by agents that do not know.
  public var totalBytes: Int64?
  /// What is used of that.
  public var usedBytes: Int64?

  public enum CodingKeys: CodingKey, CaseIterable {
    case mountPoint, kind, totalBytes, usedBytes
  }

  public static func field(_ key: CodingKeys) -> Field<GuestFileSystem> {
    switch key {
    case .mountPoint: Field(\.mountPoint, "Where it is mounted.")
    case .kind: Field(\.kind, "Its kind, such as ext4.")
    case .totalBytes: Field(\.totalBytes, "Its size; left out by agents that do not know.")
    case .usedBytes: Field(\.usedBytes, "What is used of that.")
    }
  }

  public init(mountPoint: String, kind: String, totalBytes: Int64? = nil, usedBytes: Int64? = nil) {
    self.mountPoint = mountPoint
    self.kind = kind
    self.totalBytes = totalBytes
    self.usedBytes = usedBytes
  }
}
