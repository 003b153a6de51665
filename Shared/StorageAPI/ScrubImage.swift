import Primitives
import RPC

/// Compares an image's layers on both legs with each other and with their checksums, and repairs what is wrong on one.
/// Begins a job, or answers the one that does so already; library.list tells what it found.
public enum ScrubImage: RPCMethod {
  public static let name = "library.scrub"
  public static let summary = "Compares an image's layers on both legs, and repairs what is wrong on one."
  public static let access = Access.operator
  public static let effect = Effect.keyed
  public static let failures: [StorageFailure] = [.noSuchImage, .legUnavailable]

  /// What `library.scrub` is told.
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
