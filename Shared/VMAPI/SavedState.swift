import Primitives
import RPC

/// The memory of a virtual machine on disk.
public struct SavedState: WireObject, Equatable {
  /// Names its file on the legs.
  public var identifier: String
  /// When it was saved, in milliseconds since 1970.
  public var savedMilliseconds: Int64
  /// Size of the file.
  public var sizeBytes: Int64
  /// SHA-256 of the file, in hexadecimal digits.
  public var checksum: String
  /// Whether it was paused before, and is so again after it is restored.
  public var wasPaused: Bool
  /// Its disks as they must still be; left out while that is being found out.
  public var volumes: [SavedVolume]?

  public enum CodingKeys: CodingKey, CaseIterable {
    case identifier, savedMilliseconds, sizeBytes, checksum, wasPaused, volumes
  }

  public static func field(_ key: CodingKeys) -> Field<SavedState> {
    switch key {
    case .identifier: Field(\.identifier, "Names its file on the legs.")
    case .savedMilliseconds: Field(\.savedMilliseconds, "When it was saved, in milliseconds since 1970.")
    case .sizeBytes: Field(\.sizeBytes, "Size of the file.")
    case .checksum: Field(\.checksum, "SHA-256 of the file, in hexadecimal digits.")
    case .wasPaused: Field(\.wasPaused, "Whether it was paused before, and is so again after it is restored.")
    case .volumes: Field(\.volumes, "Its disks as they must still be; left out while that is being found out.")
    }
  }

  public init(
    identifier: String, savedMilliseconds: Int64, sizeBytes: Int64, checksum: String, wasPaused: Bool,
    volumes: [SavedVolume]? = nil
  ) {
    self.identifier = identifier
    self.savedMilliseconds = savedMilliseconds
    self.sizeBytes = sizeBytes
    self.checksum = checksum
    self.wasPaused = wasPaused
    self.volumes = volumes
  }
}
