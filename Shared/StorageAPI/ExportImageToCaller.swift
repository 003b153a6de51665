import Primitives
import RPC

/// Makes an image of the library reachable over NBD for the caller, to be read, for a day.
public enum ExportImageToCaller: RPCMethod {
  public static let name = "library.exportToCaller"
  public static let summary = "Makes an image of the library reachable over NBD for the caller, to be read, for a day."
  public static let access = Access.admin
  public static let effect = Effect.idempotent
  public static let failures: [StorageFailure] = [.noSuchImage, .legUnavailable]

  /// What `library.exportToCaller` is told.
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

  public typealias Result = CallerExport
}
