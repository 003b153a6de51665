import BlockLayers
import NBD
import Primitives
import RPC
import StorageAPI

/// Changing the layers of a volume under its clients.
extension StorageService {
  /// Holds back the requests of a volume's clients, closes its layers, runs `body`, and lets them go on with the layers
  /// that the volume has then. Clients notice nothing but the time it takes. The caller holds the volume's lock.
  ///
  /// Where the layers cannot be opened again, clients are disconnected: they come back and find out for themselves.
  func withClientsWaiting<T>(
    for volume: VolumeName, _ body: () async throws(RPCError) -> T
  ) async throws(RPCError) -> T {
    let sessions = table.sessions(of: volume)
    guard !sessions.isEmpty else {
      try await closeUnusedLayers(of: volume)
      return try await body()
    }
    await flush(volume)
    await operations.run { for session in sessions { session.gate.pause() } }
    do throws(RPCError) {
      try await closeStack(of: volume)
    } catch {
      // What could not be flushed is known to these layers alone: they stay.
      for session in sessions { session.gate.resume() }
      throw error
    }
    let result: Result<T, RPCError>
    do throws(RPCError) {
      result = .success(try await body())
    } catch {
      environment.logger.error(
        "a volume's layers could not be changed", metadata: ["volume": "\(volume)", "error": "\(error)"])
      result = .failure(error)
    }
    await reopen(volume, for: sessions)
    return try result.get()
  }

  /// Makes durable what is there already, so that clients wait for little. Whatever fails here fails again when it counts.
  private func flush(_ volume: VolumeName) async {
    guard let stack = table.stack(of: volume) else { return }
    await operations.run { try? stack.top.flush() }
  }

  private func closeStack(of volume: VolumeName) async throws(RPCError) {
    guard let stack = table.stack(of: volume) else { return }
    try await blocking { () throws(RPCError) in
      do throws(BlockError) { try stack.top.flush() } catch {
        throw Self.complaint(about: error, while: "closing volume \(volume)")
      }
      self.table.takeStack(of: volume)?.closeFlushed()
    }
    await saveChanges(of: stack)
  }

  private func reopen(_ volume: VolumeName, for sessions: [Session]) async {
    // Who was fenced meanwhile does not come back.
    guard !table.sessions(of: volume).isEmpty else {
      for session in sessions { session.gate.resume() }
      return
    }
    do throws(RPCError) {
      let stack = try await openLayers(of: try await chain(of: volume), writing: true, connecting: true)
      for session in sessions { session.gate.resume(on: stack.top) }
    } catch {
      environment.logger.error(
        "a volume's layers could not be opened again", metadata: ["volume": "\(volume)", "error": "\(error)"])
      await operations.run {
        // Cut off before anything that waits is answered: an error would reach the guest.
        if let server = self.server.withLock({ $0 }) {
          for export in Set(sessions.map(\.exportName)) { server.cutSessions(of: export) }
        }
        for session in sessions { session.gate.close() }
      }
    }
  }
}
