import DomainXML
import Primitives
import RPC
import StorageAPI
import VMAPI

/// A guest's memory from disk. Called inside `exclusive`.
///
/// The record forgets the saved state when the process has loaded it and before it runs: what ran once must never run again
/// from there, for its disks have gone on. An attempt that fails before that leaves it saved.
extension VMMonitor {
  /// Makes sure that a saved machine's disks are as its guest left them, before the first attempt to restore it.
  ///
  /// - Throws: `savedStateUnusable` with the volume that changed.
  func requireUnchanged(_ name: VMName) async throws(RPCError) {
    guard let volumes = try machine(name).record.saved?.volumes else { return }
    for volume in volumes {
      let status: VolumeStatus
      do { status = try await environment.storage.call(ShowVolume.self, .init(volume: volume.volume)) } catch {
        throw RPCError(
          VMFailure.storageUnavailable, "The disk '\(volume.volume)' is not available: \(error.message)",
          data: ["volume": .string(volume.volume.rawValue), "kind": .string(error.kind)])
      }
      guard SavedVolume(status) != volume else { continue }
      throw unusable(
        name, "its disk '\(volume.volume)' was changed since", data: ["volume": .string(volume.volume.rawValue)])
    }
  }

  /// A leg with the saved state of a machine.
  func source(of saved: SavedState, _ name: VMName) async throws(RPCError) -> SavedStateReader {
    let inStep = legsOfState
    // One that is out of step may still hold it: what the file is worth, its checksum tells.
    let legs = inStep + LegID.allCases.filter { !inStep.contains($0) }
    guard let leg = await savedStates.undamaged(saved, among: legs),
      let reader = SavedStateReader(savedStates.path(saved.identifier, on: leg), size: saved.sizeBytes)
    else { throw unusable(name, "no leg holds it undamaged") }
    return reader
  }

  private func unusable(_ name: VMName, _ reason: String, data: JSONObject = [:]) -> RPCError {
    var data = data
    data["name"] = .string(name.rawValue)
    return RPCError(
      VMFailure.savedStateUnusable,
      "'\(name)' cannot go on from its saved memory: \(reason). To start it from its beginning, as after a power cut: "
        + "ftctl vm start \(name) --discard-saved",
      data: data)
  }

  /// Fills a process that waits for it with a machine's saved state.
  func load(_ reader: SavedStateReader, _ name: VMName) async throws(RPCError) {
    guard let saved = try machine(name).record.saved else { return }
    guard var pair = SocketPair(patience: timing.answerTime) else {
      throw RPCError(CommonFailure.internalError, "The VM monitor has no descriptor left; try again.")
    }
    let (ours, theirs) = (pair.ours, pair.theirs)
    async let sent = SavedStateStream.send(reader, to: ours)
    let loading: Result<Void, RPCError>
    do throws(RPCError) {
      loading = .success(
        try await withInstance(name) { instance async throws(EngineError) in try await instance.load(from: theirs) })
    } catch { loading = .failure(error) }
    if case .failure = loading { pair.end() }
    pair.letGo()
    let isSent = await sent
    pair.end()
    if case .failure(let error) = loading {
      throw isSent ? unusable(name, "its engine does not take it (\(error.message))") : error
    }
    try await commit(name) {
      $0.saved = nil
      $0.isHeld = saved.wasPaused
    }
    Task { await self.removeUnnamedStates() }
  }
}
