import RPC

/// Lists the images of the library.
public enum ListImages: RPCMethod {
  public static let name = "library.list"
  public static let summary = "Lists the images of the library."
  public static let access = Access.viewer
  public static let effect = Effect.read

  public typealias Params = Nothing

  /// What `library.list` answers.
  public struct Result: WireObject, Equatable {
    /// By name.
    public var images: [ImageStatus]

    public enum CodingKeys: CodingKey, CaseIterable {
      case images
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .images: Field(\.images, "By name.")
      }
    }

    public init(images: [ImageStatus]) {
      self.images = images
    }
  }
}
