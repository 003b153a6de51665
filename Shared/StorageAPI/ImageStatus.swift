import Primitives
import RPC

/// One image of the library.
public struct ImageStatus: WireObject, Equatable {
  /// Its name.
  public var image: ImageName
  /// Its size as a virtual machine sees it.
  public var sizeBytes: Int64
  /// Space that it takes on a leg.
  public var allocatedBytes: Int64
  /// What it is, in its owner's words.
  public var description: String
  /// The operating system that it holds, in its owner's words.
  public var operatingSystem: String
  /// Words to find it by.
  public var tags: [String]
  /// When it was added, in milliseconds since 1970.
  public var createdMilliseconds: Int64
  /// SHA-256 of its content, zeros included, in hexadecimal; absent until it was computed.
  public var contentSHA256: String?
  /// Volumes that are based on it.
  public var usedBy: [VolumeName]
  /// What its last scrub found.
  public var lastScrub: ScrubStatus?

  public enum CodingKeys: CodingKey, CaseIterable {
    case image, sizeBytes, allocatedBytes, description, operatingSystem, tags, createdMilliseconds, contentSHA256,
      usedBy, lastScrub
  }

  public static func field(_ key: CodingKeys) -> Field<ImageStatus> {
    switch key {
    case .image: Field(\.image, "Its name.")
    case .sizeBytes: Field(\.sizeBytes, "Its size as a virtual machine sees it.")
    case .allocatedBytes: Field(\.allocatedBytes, "Space that it takes on a leg.")
    case .description: Field(\.description, "What it is, in its owner's words.")
    case .operatingSystem: Field(\.operatingSystem, "The operating system that it holds, in its owner's words.")
    case .tags: Field(\.tags, "Words to find it by.")
    case .createdMilliseconds: Field(\.createdMilliseconds, "When it was added, in milliseconds since 1970.")
    case .contentSHA256:
      Field(\.contentSHA256, "SHA-256 of its content, zeros included, in hexadecimal; absent until it was computed.")
    case .usedBy: Field(\.usedBy, "Volumes that are based on it.")
    case .lastScrub: Field(\.lastScrub, "What its last scrub found.")
    }
  }

  public init(
    image: ImageName,
    sizeBytes: Int64,
    allocatedBytes: Int64,
    description: String,
    operatingSystem: String = "",
    tags: [String] = [],
    createdMilliseconds: Int64,
    contentSHA256: String? = nil,
    usedBy: [VolumeName],
    lastScrub: ScrubStatus? = nil
  ) {
    self.image = image
    self.sizeBytes = sizeBytes
    self.allocatedBytes = allocatedBytes
    self.description = description
    self.operatingSystem = operatingSystem
    self.tags = tags
    self.createdMilliseconds = createdMilliseconds
    self.contentSHA256 = contentSHA256
    self.usedBy = usedBy
    self.lastScrub = lastScrub
  }
}
