import BlockLayers
import ControlState
import Primitives
import RPC
import ServiceAPI
import StorageAPI

/// When a client's writes are answered.
///
/// A change that only one leg took is done at once, and its answer held (`NBDHeldAnswers`): nothing waits in the layers,
/// so that reads go on and layers can be changed, and a fence or the end of this instance finds nothing in flight. Whose
/// answer was held asks again at the next instance.
extension StorageService {
  /// Takes no lock of the volume: what works on it may itself last as long as a leg is away.
  func setWritePolicy(_ params: SetWritePolicy.Params) async throws(RPCError) -> VolumeStatus {
    let name = params.volume
    // Two at a time must take effect in the order in which they are stored.
    return try await locks.with("write policy of \(name)", for: SetWritePolicy.name) { () throws(RPCError) in
      let (before, chain) = try await freeingSpace { () throws(RPCError) in
        try await state.write { transaction in try Self.change(params, in: &transaction) }
      }
      let policy = chain.volume.policy
      table.setPolicy(policy, of: name)
      releaseHeld()
      if policy.cache == .writeThrough, before.cache != .writeThrough { try await flushEarlierWrites(to: name) }
      if policy != before {
        publish(
          .info, .writePolicyChanged, name.rawValue,
          "Volume \(name) is written with cache \(policy.cache.rawValue), and \(policy.onOneLeg.rawValue) on one leg.",
          ["cache": .string(policy.cache.rawValue), "onOneLeg": .string(policy.onOneLeg.rawValue)])
      }
      return try await blocking { self.status(of: chain) }
    }
  }

  private static func change(
    _ params: SetWritePolicy.Params, in transaction: inout Transaction
  ) throws -> (WritePolicy, Chain) {
    guard var chain = try Catalog.chain(of: params.volume, in: transaction.database) else {
      throw Complaint.noSuchVolume(params.volume)
    }
    let before = chain.volume.policy
    chain.volume.policy.cache = params.cache ?? before.cache
    chain.volume.policy.onOneLeg = params.onOneLeg ?? before.onOneLeg
    let policy = chain.volume.policy
    try transaction.execute(
      "UPDATE volume SET cache = ?, onOneLeg = ? WHERE name = ?",
      [policy.cache.rawValue, policy.onOneLeg.rawValue, params.volume.rawValue])
    return (before, chain)
  }

  /// What was answered before the policy was set is durable, too, when that is answered.
  private func flushEarlierWrites(to name: VolumeName) async throws(RPCError) {
    guard let stack = table.stack(of: name) else { return }
    try await blocking { () throws(RPCError) in
      do throws(BlockError) { try stack.top.flush() } catch {
        // Closed meanwhile: that flushed it.
        if error.kind == .closed { return }
        throw Self.complaint(about: error, while: "flushing volume \(name)")
      }
    }
  }

  // MARK: Held answers

  /// Whether changes that were done with this policy may not be answered now.
  func holdsAnswers(_ policy: CurrentWritePolicy) -> Bool { policy.holdsOnOneLeg && !legs.areBothInStep }

  /// Has a session go on when its answers need not be held any longer.
  func hold(_ session: Session, _ release: @escaping @Sendable () -> Void) {
    if held.add(session, release) {
      let name = session.volume
      publish(
        .error, .writesHeld, name.rawValue,
        """
        Writes to volume \(name) wait, because only one leg is in step and its policy is to hold them; its virtual machine \
        stands still. Bring the other I/O module online, or call ftctl volume policy \(name) --on-one-leg continue.
        """)
    }
    // The leg may have come back, or the policy been changed, before it was added.
    releaseHeld()
  }

  /// Lets go on whoever need not wait any longer.
  func releaseHeld() {
    for name in held.release(where: { !holdsAnswers($0.policy) }) {
      publish(.info, .writesResumed, name.rawValue, "Writes to volume \(name) go on.")
    }
  }

  /// Refuses a call that would write what its policy wants on both legs.
  func requireBothLegs(for volume: VolumeRecord) throws(RPCError) {
    guard volume.policy.onOneLeg == .hold, !legs.areBothInStep else { return }
    throw Complaint.held(volume.name)
  }
}
