import DomainXML
import Primitives
import RPC
import StorageAPI
import VMAPI

/// What becomes of a machine's undo disks when it is shut down. Called inside `exclusive`, except where said.
///
/// The decision is in the record, in the transaction that says that the machine is off; it is carried out for one disk
/// after the other, and tried again until it is done for all. Before that the machine is not started. A disk that is done
/// has an empty undo layer, to which doing it again does nothing.
extension VMMonitor {
  /// What the definition says for the end of a run.
  func undoAfterStop(_ name: VMName) -> UndoDecision? {
    switch (try? machines[name]?.domain.get())?.settings.undoPolicy {
    case .commit: .commit
    case .discard: .discard
    case .ask: .ask
    case .keep, nil: nil
    }
  }

  /// Does what somebody decided.
  func decideUndo(_ params: DecideUndo.Params) async throws(RPCError) -> VMSummary {
    let name = params.name
    _ = try admits(.decideUndo, name)
    let decision: UndoDecision? =
      switch params.action {
      case .keep: nil
      case .commit: .commit
      case .discard: .discard
      }
    try requireSame(decision, name)
    if decision != nil, try await undoVolumes(name).isEmpty {
      try await commit(name) { $0.undo = nil }
      throw refusal(name, "no disk of '\(name)' has an undo layer; 'ftctl volume undo enable VOLUME' puts one on top")
    }
    try await commit(name) { $0.undo = decision }
    do throws(RPCError) { try await settleUndo(name) } catch {
      settleUndoLater(name)
      throw unsettled(name, "It is decided and will be done; at this moment it cannot", error)
    }
    return try machine(name).summary
  }

  /// A decision that is being carried out stays: a part of the disks may be done.
  private func requireSame(_ decision: UndoDecision?, _ name: VMName) throws(RPCError) {
    guard let unfinished = try machine(name).record.undo, unfinished != .ask, unfinished != decision else { return }
    throw refusal(name, "the undo disks of '\(name)' are being \(Self.word(unfinished)), some of them may be already")
  }

  /// Refuses to start a machine about whose disks somebody is to decide.
  func requireUndoDecided(_ name: VMName) throws(RPCError) {
    guard try machine(name).record.undo == .ask else { return }
    throw refusal(name, Self.question(name))
  }

  /// Settles what was decided before a start.
  func settleUndoToStart(_ name: VMName) async throws(RPCError) {
    try requireUndoDecided(name)
    do throws(RPCError) { try await settleUndo(name) } catch {
      throw unsettled(name, "The undo disks of '\(name)' are not settled yet", error)
    }
  }

  private func refusal(_ name: VMName, _ reason: String) -> RPCError {
    let state = machines[name]?.state ?? .defined
    return RPCError(
      VMFailure.wrongState, "This cannot be done with '\(name)' now: \(reason).",
      data: ["name": .string(name.rawValue), "state": .string(state.rawValue)])
  }

  private func unsettled(_ name: VMName, _ sentence: String, _ error: RPCError) -> RPCError {
    RPCError(
      VMFailure.storageUnavailable, "\(sentence): \(error.message)",
      data: ["name": .string(name.rawValue), "kind": .string(error.kind)])
  }

  static func question(_ name: VMName) -> String {
    "its undo disks wait for a decision: ftctl vm undo \(name) keep, commit or discard"
  }

  private static func word(_ decision: UndoDecision) -> String {
    decision == .discard ? "discarded" : "committed"
  }

  // MARK: Carrying out

  /// Carries out what is decided, if anything is; asks where somebody is to decide.
  private func settleUndo(_ name: VMName) async throws(RPCError) {
    guard let decision = machines[name]?.record.undo else { return }
    let volumes = try await undoVolumes(name)
    if decision == .ask, !volumes.isEmpty {
      let list = volumes.map(\.rawValue).joined(separator: ", ")
      return alert(.warning, "vmUndoAsked", name, "'\(name)' is off, and \(Self.question(name)). They are \(list).")
    }
    for volume in volumes { try await apply(decision, to: volume) }
    try await commit(name) { $0.undo = nil }
    guard !volumes.isEmpty else { return }
    alert(
      .info, "vmUndoSettled", name, "The undo disks of '\(name)' were \(Self.word(decision)).",
      ["action": .string(decision.rawValue)])
  }

  /// Copying may take longer than an answer is waited for: then the next attempt finds it under way, or done.
  private func apply(_ decision: UndoDecision, to volume: VolumeName) async throws(RPCError) {
    if decision == .commit {
      _ = try await environment.storage.call(CommitUndo.self, .init(volume: volume, keepEnabled: true))
    } else {
      _ = try await environment.storage.call(DiscardUndo.self, .init(volume: volume, keepEnabled: true))
    }
  }

  /// The machine's disks that have an undo layer; those that it only reads are nothing to it.
  private func undoVolumes(_ name: VMName) async throws(RPCError) -> [VolumeName] {
    var volumes: [VolumeName] = []
    for disk in try readable(try machine(name)).disks where !disk.isReadOnly && disk.kind == .disk {
      guard let volume = disk.volume, !volumes.contains(volume) else { continue }
      if try await environment.storage.call(ShowVolume.self, .init(volume: volume)).hasUndoLayer {
        volumes.append(volume)
      }
    }
    return volumes
  }

  /// Carries out in the background what is decided, until it is done.
  func settleUndoLater(_ name: VMName) {
    guard machines[name]?.record.undo != nil else { return }
    Task { [weak self] in
      var attempt = 0
      while let pause = await self?.tryToSettleUndo(name, attempt) {
        try? await Task.sleep(for: pause)
        attempt += 1
      }
    }
  }

  /// The pause before the next attempt; nil when there is none.
  private func tryToSettleUndo(_ name: VMName, _ attempt: Int) async -> Duration? {
    do throws(RPCError) {
      try await exclusive(name) { monitor async throws(RPCError) in
        // Started meanwhile: that settled it.
        guard monitor.machines[name]?.record.phase.hasProcess == false else { return }
        try await monitor.settleUndo(name)
      }
      return nil
    } catch {
      if attempt == 5 {
        alert(
          .error, "vmUndoFailed", name,
          "What was decided about the undo disks of '\(name)' could not be done yet: \(error.message)")
      }
      return backoff(attempt + 1)
    }
  }
}
