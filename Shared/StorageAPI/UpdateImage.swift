import Primitives
import RPC

/// Changes what is said of an image; what is left out stays.
public enum UpdateImage: RPCMethod {
  public static let name = "library.update"
  public static let summary = "Changes what is said of an image; what is left out stays."
  public static let access = Access.admin
  public static let effect = Effect.idempotent
  public static let failures: [StorageFailure] = [.noSuchImage, .legUnavailable]

  /// What `library.update` is told.
  public struct Params: WireObject, Equatable {
    /// The image.
    public var image: ImageName
    /// What it is, at most 1,000 characters.
    public var description: String?
    /// The operating system that it holds, such as 'Debian 12'; at most 100 characters.
    public var operatingSystem: String?
    /// Words to find it by: at most 16, each of 1 to 32 letters, digits, '.', '_' and '-'.
    public var tags: [String]?

    public enum CodingKeys: CodingKey, CaseIterable {
      case image, description, operatingSystem, tags
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .image: Field(\.image, "The image.")
      case .description: Field(\.description, "What it is, at most 1,000 characters.")
      case .operatingSystem:
        Field(\.operatingSystem, "The operating system that it holds, such as 'Debian 12'; at most 100 characters.")
      case .tags: Field(\.tags, "Words to find it by: at most 16, each of 1 to 32 letters, digits, '.', '_' and '-'.")
      }
    }

    public init(image: ImageName, description: String? = nil, operatingSystem: String? = nil, tags: [String]? = nil) {
      self.image = image
      self.description = description
      self.operatingSystem = operatingSystem
      self.tags = tags
    }
  }

  public typealias Result = ImageStatus
}
