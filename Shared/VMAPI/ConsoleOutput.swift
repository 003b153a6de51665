import RPC

/// Bytes that a serial console printed.
public struct ConsoleOutput: WireObject, Equatable {
  /// The bytes in base64.
  public var data: String

  public enum CodingKeys: CodingKey, CaseIterable {
    case data
  }

  public static func field(_ key: CodingKeys) -> Field<ConsoleOutput> {
    switch key {
    case .data: Field(\.data, "The bytes in base64.")
    }
  }

  public init(data: String) {
    self.data = data
  }
}
