import BlockLayers
import FoundationEssentials
import Primitives
import RPC
import StorageAPI

/// Reading and writing a volume's bytes by call: for tools and tests, beside the NBD way.
extension StorageService {
  func read(_ params: ReadVolume.Params) async throws(RPCError) -> ReadVolume.Result {
    let name = params.volume
    return try await locks.with(name.rawValue, for: ReadVolume.name) { () throws(RPCError) in
      let chain = try await chain(of: name)
      let count = Int64(params.countBytes)
      try Self.checkRange(of: chain.volume, offset: params.offsetBytes, count: count)
      return try await withLayers(of: chain, writing: false) { stack throws(RPCError) in
        do throws(BlockError) {
          let bytes = try stack.top.bytes(at: params.offsetBytes, count: params.countBytes)
          return .init(data: Data(bytes).base64EncodedString())
        } catch {
          throw Self.complaint(about: error, while: "reading volume \(name)")
        }
      }
    }
  }

  func write(_ params: WriteVolume.Params) async throws(RPCError) -> WriteVolume.Result {
    let name = params.volume
    guard let data = Self.decode(base64: params.data) else {
      throw Complaint.invalidParameter("data is not base64 (RFC 4648, section 4, with padding).")
    }
    guard data.count <= StorageLimits.transferBytes else {
      throw Complaint.invalidParameter(
        "data holds \(data.count) bytes; one call writes at most \(StorageLimits.transferBytes), write in parts.")
    }
    return try await locks.with(name.rawValue, for: WriteVolume.name) { () throws(RPCError) in
      let chain = try await chain(of: name)
      try Self.checkRange(of: chain.volume, offset: params.offsetBytes, count: Int64(data.count))
      try await requireDisconnected(chain.volume)
      guard !data.isEmpty else { return .init(writtenBytes: 0) }
      try requireBothLegs(for: chain.volume)
      return try await withLayers(of: chain, writing: true) { stack throws(RPCError) in
        do throws(BlockError) {
          try stack.top.write([UInt8](data), at: params.offsetBytes)
          try stack.top.flush()
        } catch {
          throw Self.complaint(about: error, while: "writing volume \(name)")
        }
        try self.requireBothLegs(for: chain.volume)
        return .init(writtenBytes: data.count)
      }
    }
  }

  /// The bytes of a base64 text; nil when it is none. Foundation takes what follows a padding for more of it: "YQ=x".
  static func decode(base64 text: String) -> Data? {
    let padding = text.utf8.drop { $0 != UInt8(ascii: "=") }
    guard padding.count <= 2, padding.allSatisfy({ $0 == UInt8(ascii: "=") }) else { return nil }
    return Data(base64Encoded: text)
  }

  private static func checkRange(of volume: VolumeRecord, offset: Int64, count: Int64) throws(RPCError) {
    guard offset >= 0, count >= 0, offset <= volume.sizeBytes, count <= volume.sizeBytes - offset else {
      throw Complaint.outOfRange(volume.name, offset: offset, count: count, size: volume.sizeBytes)
    }
  }

  // MARK: Open layers

  /// Runs `body` on a thread that may block, with the volume's layers open. The caller holds the volume's lock.
  func withLayers<T: Sendable>(
    of chain: Chain, writing: Bool, _ body: @escaping @Sendable (VolumeStack) throws(RPCError) -> T
  ) async throws(RPCError) -> T {
    let name = chain.volume.name
    let stack = try await openLayers(of: chain, writing: writing)
    table.beginUse(of: name)
    let outcome: Result<T, RPCError>
    do throws(RPCError) {
      outcome = .success(try await blocking { () throws(RPCError) in try body(stack) })
    } catch {
      outcome = .failure(error)
    }
    table.endUse(of: name)
    try await closeUnusedLayers(of: name)
    return try outcome.get()
  }

  /// The volume's layers, opened if they are not. The caller holds the volume's lock.
  ///
  /// What is opened for writing is marked durably first: after a crash the legs of a marked volume are compared.
  func openLayers(of chain: Chain, writing: Bool, connecting: Bool = false) async throws(RPCError) -> VolumeStack {
    let name = chain.volume.name
    let isMarked = chain.volume.openForWriting && (chain.volume.connected || !connecting)
    if writing, !isMarked {
      // A client that comes back must get its volume also when the legs are full.
      try await freeingSpace { () throws(RPCError) in
        try await state.write { transaction in
          try transaction.execute(
            "UPDATE volume SET openForWriting = 1, connected = max(connected, ?), openings = openings + 1 WHERE name = ?",
            [connecting, name.rawValue])
        }
      }
    }
    if let stack = table.stack(of: name) { return stack }
    do throws(RPCError) {
      let tracker = try await tracker(of: chain)
      let stack = try await blocking { () throws(RPCError) in try self.store.open(chain, tracker: tracker) }
      table.setStack(stack, of: name)
      return stack
    } catch {
      if error.matches(StorageFailure.damagedLayer) {
        publish(.critical, .damagedLayer, name.rawValue, error.message, error.facts)
      }
      if writing {
        // Nothing was opened: the marks are as they were.
        try await state.write { transaction in
          try transaction.execute(
            "UPDATE volume SET openForWriting = ?, connected = ? WHERE name = ?",
            [chain.volume.openForWriting, chain.volume.connected, name.rawValue])
        }
      }
      throw error
    }
  }

  /// Flushes and closes the layers of a volume that nobody uses any longer. The caller holds the volume's lock.
  func closeUnusedLayers(of name: VolumeName) async throws(RPCError) {
    guard let stack = table.takeUnusedStack(of: name) else { return }
    let failure = await operations.run { () -> BlockError? in
      do throws(BlockError) { try stack.close() } catch { return error }
      return nil
    }
    if let failure {
      // The mark stays, so that the legs are compared by the next activation.
      environment.logger.error(
        "a volume's layers were not closed cleanly", metadata: ["volume": "\(name)", "error": "\(failure)"])
      throw Self.complaint(about: failure, while: "closing volume \(name)")
    }
    await saveChanges(of: stack)
    // A client that we sent away, because this instance ends, comes back to the next one.
    let stopping = isStopping.load(ordering: .acquiring)
    try await state.write { transaction in
      // What a job writes stays marked until it ends.
      let job = try Catalog.runningJob(on: name, in: transaction.database)
      try transaction.execute(
        "UPDATE volume SET openForWriting = ?, connected = CASE WHEN ? THEN connected ELSE 0 END WHERE name = ?",
        [job != nil, stopping, name.rawValue])
    }
  }

  /// What callers are told of an error of the layers.
  static func complaint(about error: BlockError, while doing: String) -> RPCError {
    if error.kind == .noSpace { return Complaint.outOfSpace(doing) }
    return Complaint.legUnavailable("\(doing): \(error)")
  }
}

extension RPCError {
  /// The facts, as an alert carries them.
  var facts: [String: JSONValue] {
    Dictionary(data.members.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
  }
}
