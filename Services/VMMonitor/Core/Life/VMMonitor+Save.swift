import ControlState
import DomainXML
import Glibc
import Primitives
import RPC
import ServiceAPI
import StorageAPI
import VMAPI

/// A guest's memory to disk. Called inside `exclusive`.
///
/// The record says `saving` until the file is whole and durable: whoever takes over until then lets the guest go on. With
/// the record that says `saved`, the guest is over: whoever finds it ends it. Between the two lies one transaction.
///
/// A saved machine's disks are to be as the guest left them. What they were is known when the process is gone and they
/// are fenced (`settle`); until then `SavedState.volumes` is nil.
extension VMMonitor {
  func save(_ name: VMName) async throws(RPCError) -> VMSummary {
    guard try admits(.save, name) else { return try machine(name).summary }
    let legs = try await legsForState(of: name)
    let wasPaused = try machine(name).record.isHeld
    let identifier = "\(try machine(name).record.uuid).\(Self.randomName())"
    let cause = "it was saved to disk"
    machines[name]?.savingIdentifier = identifier
    defer { machines[name]?.savingIdentifier = nil }
    try await commit(name, .down(atMilliseconds: now(), planned: true, cause: cause)) { $0.phase = .saving }
    let written: SavedStateWriter.Written
    do throws(RPCError) {
      written = try await writeState(of: name, identifier, legs)
      try await commit(name) {
        $0.phase = .saved
        $0.isHeld = false
        $0.reason = nil
        $0.saved = SavedState(
          identifier: identifier, savedMilliseconds: now(), sizeBytes: written.size, checksum: written.checksum,
          wasPaused: wasPaused)
      }
    } catch {
      await undoSave(name, because: error)
      throw error
    }
    for (leg, reason) in written.failures {
      alert(
        .warning, "vmSavedOnOneLeg", name,
        "The memory of '\(name)' could not be written to leg \(leg): \(reason). It is copied there when the leg is back.",
        ["leg": .string(leg.rawValue)])
    }
    do { try await settle(name) } catch { retryLater(name) }
    alert(.info, "vmSaved", name, "'\(name)' was saved to disk. 'ftctl vm start \(name)' goes on from there.")
    return try machine(name).summary
  }

  private static func randomName() -> String { String(UInt64.random(in: .min ... .max), radix: 16) }

  var legsOfState: [LegID] { environment.state.legs().filter { $0.state == .inStep }.map(\.leg) }

  /// Legs that can take a guest's memory.
  private func legsForState(of name: VMName) async throws(RPCError) -> [LegID] {
    let bytes = try readable(try machine(name)).memoryBytes
    let legs = await savedStates.legs(withRoomFor: bytes, among: legsOfState)
    guard legs.isEmpty else { return legs }
    throw RPCError(
      VMFailure.outOfSpace,
      "No leg has the \(bytes >> 20) MiB free that the memory of '\(name)' may take; make room, or shut it down instead.",
      data: ["name": .string(name.rawValue), "sizeBytes": .integer(bytes)])
  }

  /// Stops the guest and writes its state to the legs; at least one of them has it then.
  private func writeState(
    of name: VMName, _ identifier: String, _ legs: [LegID]
  ) async throws(RPCError) -> SavedStateWriter.Written {
    guard var pair = SocketPair(patience: timing.answerTime) else {
      throw RPCError(CommonFailure.internalError, "The VM monitor has no descriptor left; try again.")
    }
    try await withInstance(name) { instance async throws(EngineError) in try await instance.pause() }
    let (ours, theirs) = (pair.ours, pair.theirs)
    async let pumped = SavedStateStream.receive(from: ours, savedStates, identifier, legs)
    let saving: Result<Void, RPCError>
    do throws(RPCError) {
      saving = .success(
        try await withInstance(name) { instance async throws(EngineError) in try await instance.save(to: theirs) })
    } catch { saving = .failure(error) }
    pair.letGo()
    let written = await pumped
    pair.end()
    guard !written.legs.isEmpty else {
      let reasons = written.failures.map { "\($0.key.rawValue): \($0.value)" }.sorted()
      throw RPCError(
        VMFailure.outOfSpace,
        "The memory of '\(name)' could not be written to any leg (\(reasons.joined(separator: ", "))); it goes on running.",
        data: ["name": .string(name.rawValue)])
    }
    try saving.get()
    return written
  }

  /// After a save that did not come to its end, whoever began it: the guest goes on.
  func undoSave(_ name: VMName, because error: RPCError?) async {
    // Somebody ends it meanwhile.
    let isUnwanted = machines[name]?.isUnwanted == true
    do {
      // First the record: a guest that runs must never be found saved.
      try await commit(name, isUnwanted ? nil : upChange(name)) { $0.phase = .running }
    } catch { return retryLater(name) }
    if !isUnwanted, let machine = machines[name], let instance = machine.instance {
      try? await instance.cancelSave()
      if !machine.record.isHeld { try? await instance.resume() }
    }
    note(name) {
      $0.paused = nil
      $0.savingIdentifier = nil
    }
    await removeUnnamedStates()
    alert(
      .error, "vmSaveFailed", name,
      "'\(name)' could not be saved and goes on running: \(error?.message ?? "the VM monitor changed its instance").")
    lookAfter(name)
  }

  /// Ends what is left of a saved guest and learns what its disks are now.
  func settle(_ name: VMName) async throws(RPCError) {
    forgetProcess(name)
    try await proveGone(name)
    let volumes = try await fenceDisks(name).map(SavedVolume.init)
    try await commit(name) {
      $0.module = nil
      $0.saved?.volumes = volumes
    }
  }

  /// Throws a saved state away.
  func discardSaved(_ name: VMName) async throws(RPCError) -> VMSummary {
    guard try admits(.discardSaved, name) else { return try machine(name).summary }
    if try machine(name).record.saved?.volumes == nil {
      // Its process may still be there. What its disks are no longer matters: one may be gone for good.
      forgetProcess(name)
      try await proveGone(name)
      await releaseDisks(name)
    }
    try await commit(name) {
      $0.phase = .off
      $0.saved = nil
      $0.reason = nil
    }
    await removeUnnamedStates()
    alert(
      .info, "vmSavedDiscarded", name, "The saved memory of '\(name)' was thrown away; it starts from its beginning.")
    return try machine(name).summary
  }

  /// Removes files of saved memory that no record names, and that nobody is writing.
  func removeUnnamedStates() async {
    for leg in legsOfState {
      let names = await savedStates.names(on: leg)
      // Decided after they were listed: what is begun meanwhile is not among them.
      let named = machines.values.flatMap { [$0.record.saved?.identifier, $0.savingIdentifier] }
      let unwanted = names.filter { !named.contains($0) }
      if !unwanted.isEmpty { await savedStates.remove(unwanted, on: leg) }
    }
  }

  /// Brings saved memory to a leg that came back without it.
  func restoreStates(on leg: LegID) async {
    for saved in machines.values.compactMap(\.record.saved) {
      guard let other = await savedStates.undamaged(saved, among: legsOfState.filter { $0 != leg }) else { continue }
      guard await !savedStates.copy(saved, to: leg, from: other) else { continue }
      logger.warning("Saved memory could not be copied", metadata: ["leg": "\(leg)", "file": "\(saved.identifier)"])
    }
    await removeUnnamedStates()
  }
}

extension SavedVolume {
  init(_ status: VolumeStatus) {
    self.init(
      volume: status.volume, generation: status.generation, layer: status.layers.first?.layer ?? "",
      openings: status.openings ?? 0)
  }
}
