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
  /// What block status can tell besides `base:allocation`, which is always there. What has no name of the right form
  /// (`NBDMetadataContext.name`), or one that an earlier one has, is not offered.
  public var contexts: [any NBDMetadataContext]

  public init(
    device: any BlockDevice, description: String = "", isReadOnly: Bool? = nil, preferredBlockSize: UInt32 = 4096,
    contexts: [any NBDMetadataContext] = []
  ) {
    self.device = device
    self.description = description
    self.isReadOnly = isReadOnly ?? device.isReadOnly
    self.preferredBlockSize = preferredBlockSize
    self.contexts = contexts
  }
}

/// What block status tells of an export under one name: which of its parts have which flags (NBD protocol, "Metadata
/// querying"). Called on the threads of connections, where blocking is allowed, possibly from many at the same time.
public protocol NBDMetadataContext: Sendable {
  /// A namespace, a colon and a name in it, such as `qemu:dirty-bitmap:NAME`; at most 4096 bytes of UTF-8.
  var name: String { get }

  /// The flags of contiguous extents from `offset` on, at least one, at most `NBDContextExtent.limit`. They may end
  /// before the range does (the client asks again from there); what lies behind it is not sent. The range is not empty
  /// and inside of the device. What this throws is the answer to the client.
  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [NBDContextExtent]
}

/// A part of an export with the same flags in a metadata context.
public struct NBDContextExtent: Sendable, Hashable {
  /// The most that one answer holds; more are not sent.
  public static let limit = 1024

  /// Its length in bytes, above zero.
  public var count: Int64
  /// What they mean, the context defines.
  public var flags: UInt32

  public init(count: Int64, flags: UInt32) {
    self.count = count
    self.flags = flags
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
  /// Opens an export; also called for a client that only asks what it is. The empty name is the one of the default export
  /// (NBD protocol, `NBD_OPT_EXPORT_NAME`), which a provider may have or not, and to the server a name as any other. The server never closes the device: the
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
