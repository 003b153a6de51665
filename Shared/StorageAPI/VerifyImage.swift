import Primitives
import RPC

/// Reads an image whole and compares its SHA-256 with the one that was kept when it came to be. Begins a job, which fails
/// where they differ. An image without one gets it.
public enum VerifyImage: RPCMethod {
  public static let name = "library.verify"
  public static let summary = "Reads an image whole and compares its SHA-256 with the one that was kept."
  public static let access = Access.operator
  public static let effect = Effect.keyed
  public static let failures: [StorageFailure] = [.noSuchImage, .legUnavailable]

  /// What `library.verify` is told.
  public struct Params: KeyedParams, Equatable {
    /// The image.
    public var image: ImageName
    /// Key that a repeat must carry.
    public var requestKey: RequestKey?

    public enum CodingKeys: CodingKey, CaseIterable {
      case image, requestKey
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .image: Field(\.image, "The image.")
      case .requestKey: Field(\.requestKey, "Key that a repeat must carry.")
      }
    }

    public init(image: ImageName, requestKey: RequestKey? = nil) {
      self.image = image
      self.requestKey = requestKey
    }
  }

  public typealias Result = JobStatus
}
