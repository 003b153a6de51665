import Primitives
import RPC

/// Where the caller can reach a volume, a snapshot or an image.
public struct CallerExport: WireObject, Equatable {
  /// The NBD export name.
  public var exportName: String
  /// The Unix socket of the NBD server.
  public var socketPath: String
  /// Its size.
  public var sizeBytes: Int64
  /// Whether it can only be read.
  public var readOnly: Bool

  public enum CodingKeys: CodingKey, CaseIterable {
    case exportName, socketPath, sizeBytes, readOnly
  }

  public static func field(_ key: CodingKeys) -> Field<CallerExport> {
    switch key {
    case .exportName: Field(\.exportName, "The NBD export name.")
    case .socketPath: Field(\.socketPath, "The Unix socket of the NBD server.")
    case .sizeBytes: Field(\.sizeBytes, "Its size.")
    case .readOnly: Field(\.readOnly, "Whether it can only be read.")
    }
  }

  public init(exportName: String, socketPath: String, sizeBytes: Int64, readOnly: Bool) {
    self.exportName = exportName
    self.socketPath = socketPath
    self.sizeBytes = sizeBytes
    self.readOnly = readOnly
  }
}
