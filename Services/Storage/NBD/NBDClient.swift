import BlockLayers
import Glibc
import Synchronization

/// An export of an NBD server as a device: for tools that read or write a volume as a virtual machine does.
///
/// Over one connection, one request at a time; requests of several threads wait for each other. What the server says is checked:
/// an answer that breaks the protocol ends the connection, and each later call fails with `closed`.
public final class NBDClient: BlockDevice, @unchecked Sendable {
  // The connection is touched with `turn` held, or by `init` and `deinit` alone; the rest is immutable.

  /// Most bytes that one request reads or writes.
  static let requestBytes: Int64 = 8 << 20
  /// Most bytes that one request trims, zeroes or asks about: every server takes that.
  static let rangeBytes: Int64 = 1 << 30

  public let size: Int64
  public let isReadOnly: Bool
  /// What of the export the server knows how to do.
  private let features: UInt16
  /// The numbers of the metadata contexts that were asked for and are there.
  private let contexts: [String: UInt32]
  private let connection: NBDClientConnection
  private let turn = Mutex<Void>(())

  /// Connects to an export.
  ///
  /// - Parameter contexts: names of the metadata contexts that will be asked for, beside `base:allocation`; one that the server
  ///   does not have is left out (`has`).
  /// - Throws: `io` when nobody listens, `notFound` when the server refuses the export, with its words.
  public init(socketPath: String, export: String, contexts: [String] = []) throws(BlockError) {
    connection = try NBDClientConnection(socketPath: socketPath)
    let agreed = try connection.negotiate(export: export, contexts: [NBD.allocationContext] + contexts)
    guard let size = Int64(exactly: agreed.size) else {
      throw BlockError(.tooLarge, "\(export) has \(agreed.size) bytes")
    }
    self.size = size
    features = agreed.features
    isReadOnly = agreed.features & NBD.Export.readOnly != 0
    self.contexts = agreed.contexts
  }

  deinit { connection.leave() }

  /// Whether the connection is no more, so that every call fails.
  public var hasEnded: Bool { turn.withLock { _ in connection.hasEnded } }

  /// Whether the export has a metadata context that was asked for.
  public func has(_ context: String) -> Bool { contexts[context] != nil }

  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try requireRange(offset, Int64(buffer.count), "read")
    var done = 0
    while done < buffer.count {
      let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[done...].prefix(Int(Self.requestBytes)))
      let at = offset + Int64(done)
      try exchange { connection throws(BlockError) in
        try connection.request(.read, offset: at, count: Int64(piece.count))
        try connection.receiveData(into: piece, at: at)
      }
      done += piece.count
    }
  }

  public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64, flags: WriteFlags) throws(BlockError) {
    try requireRange(offset, Int64(buffer.count), "write")
    var done = 0
    while done < buffer.count {
      let piece = UnsafeRawBufferPointer(rebasing: buffer[done...].prefix(Int(Self.requestBytes)))
      let at = offset + Int64(done)
      try exchange { connection throws(BlockError) in
        try connection.request(.write, flags: Self.wire(flags), offset: at, count: Int64(piece.count), payload: piece)
        try connection.receiveDone()
      }
      done += piece.count
    }
  }

  public func flush() throws(BlockError) {
    guard features & NBD.Export.sendFlush != 0 else { return }
    try exchange { connection throws(BlockError) in
      try connection.request(.flush, offset: 0, count: 0)
      try connection.receiveDone()
    }
  }

  public func trim(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    guard features & NBD.Export.sendTrim != 0 else { return }
    try change(.trim, at: offset, count: count, flags: flags)
  }

  public func writeZeroes(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    guard features & NBD.Export.sendWriteZeroes != 0 else {
      throw BlockError(.notSupported, "the server cannot write zeros")
    }
    try change(.writeZeroes, at: offset, count: count, flags: flags)
  }

  private func change(
    _ command: NBD.Command, at offset: Int64, count: Int64, flags: WriteFlags
  ) throws(BlockError) {
    try requireRange(offset, count, "change")
    var done: Int64 = 0
    while done < count {
      let (at, piece) = (offset + done, min(count - done, Self.rangeBytes))
      try exchange { connection throws(BlockError) in
        try connection.request(command, flags: Self.wire(flags), offset: at, count: piece)
        try connection.receiveDone()
      }
      done += piece
    }
  }

  public func extents(at offset: Int64, count: Int64) throws(BlockError) -> [Extent] {
    guard has(NBD.allocationContext) else {
      try requireRange(offset, count, "extents")
      return [Extent(offset: offset, count: count, isAllocated: true, readsAsZero: false)]
    }
    var at = offset
    return try extents(of: NBD.allocationContext, at: offset, count: count).map { extent in
      defer { at += extent.count }
      return Extent(
        offset: at, count: extent.count, isAllocated: extent.flags & NBD.AllocationFlag.hole == 0,
        readsAsZero: extent.flags & NBD.AllocationFlag.zero != 0)
    }
  }

  /// What a metadata context tells of a range: contiguous extents from `offset` on, at least one; they may end before the
  /// range does. The context must be one that the export `has`.
  public func extents(
    of context: String, at offset: Int64, count: Int64
  ) throws(BlockError) -> [NBDContextExtent] {
    try requireRange(offset, count, "block status")
    guard let id = contexts[context] else { throw BlockError(.misuse, "the export has no context \(context)") }
    guard count > 0 else { return [] }
    let asked = min(count, Self.rangeBytes)
    return try exchange { connection throws(BlockError) in
      try connection.request(.blockStatus, offset: offset, count: asked)
      return try connection.receiveStatus(of: id, count: asked)
    }
  }

  /// Takes leave of the server.
  public func close() { turn.withLock { _ in connection.leave() } }

  private func exchange<T>(_ body: (NBDClientConnection) throws(BlockError) -> T) throws(BlockError) -> T {
    let outcome: Result<T, BlockError> = turn.withLock { _ in
      do throws(BlockError) { return .success(try body(connection)) } catch { return .failure(error) }
    }
    return try outcome.get()
  }

  private static func wire(_ flags: WriteFlags) -> UInt16 {
    var wire: UInt16 = 0
    if flags.contains(.forceUnitAccess) { wire |= NBD.CommandFlag.forceUnitAccess }
    if flags.contains(.keepAllocated) { wire |= NBD.CommandFlag.noHole }
    if flags.contains(.onlyIfFast) { wire |= NBD.CommandFlag.fastZero }
    return wire
  }
}
