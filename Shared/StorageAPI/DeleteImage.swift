import Primitives
import RPC

/// Deletes an image that nothing is based on.
public enum DeleteImage: RPCMethod {
  public static let name = "library.delete"
  public static let summary = "Deletes an image that nothing is based on."
  public static let access = Access.admin
  public static let effect = Effect.idempotent
  public static let failures: [StorageFailure] = [.imageInUse, .legUnavailable]

  /// What `library.delete` is told.
  public struct Params: WireObject, Equatable {
    /// The image.
    public var image: ImageName

    public enum CodingKeys: CodingKey, CaseIterable {
      case image
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .image: Field(\.image, "The image.")
      }
    }

    public init(image: ImageName) {
      self.image = image
    }
  }

  /// What `library.delete` answers.
  public struct Result: WireObject, Equatable {
    /// Whether there was one.
    public var deleted: Bool

    public enum CodingKeys: CodingKey, CaseIterable {
      case deleted
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .deleted: Field(\.deleted, "Whether there was one.")
      }
    }

    public init(deleted: Bool) {
      self.deleted = deleted
    }
  }
}
