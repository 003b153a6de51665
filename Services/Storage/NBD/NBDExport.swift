import BlockLayers

/// What a client gets when it opens an export.
public struct NBDExport: Sendable {
  /// Where its requests go.
  public var device: any BlockDevice
  /// A sentence for people.
  public var description: String
  /// Refuses writes, also when the device would take them.
  public var isReadOnly: Bool
  /// Preferred size of requests in bytes, a power of two.
  public var preferredBlockSize: UInt32

  public init(
    device: any BlockDevice, description: String = "", isReadOnly: Bool? = nil, preferredBlockSize: UInt32 = 4096
  ) {
    self.device = device
    self.description = description
    self.isReadOnly = isReadOnly ?? device.isReadOnly
    self.preferredBlockSize = preferredBlockSize
  }
}

/// An export's entry in the list.
public struct NBDExportEntry: Sendable, Hashable {
  public var name: String
  /// A sentence for people.
  public var description: String

  public init(name: String, description: String = "") {
    self.name = name
    self.description = description
  }
}

/// Why an export is not opened.
public enum NBDRefusal: Error, Sendable, Hashable {
  /// There is none of that name.
  case unknown
  /// There is, and this client may not have it, for this reason.
  case notAllowed(String)
  /// The server is about to end; another one will know.
  case stopping
}

/// Decides who gets which export. Called on the connection's own thread, where blocking is allowed, possibly from many
/// at the same time.
public protocol NBDExportProvider: Sendable {
  /// Opens an export; also called for a client that only asks what it is. The server never closes the device: the
  /// provider does, after `NBDServer.closeSessions(of:)`.
  func open(name: String, peerUserID: UInt32) throws(NBDRefusal) -> NBDExport

  /// The exports that this client may see.
  func list(peerUserID: UInt32) -> [NBDExportEntry]
}

/// A connection, for people.
public struct NBDSessionStatus: Sendable, Hashable {
  /// The export's name.
  public var exportName: String
  /// The Unix user of the client.
  public var peerUserID: UInt32
}
