import Primitives
import Synchronization

/// What is in memory of each volume in use: its open layers, its sessions, and the fence below which none is admitted.
///
/// Layers are opened and closed only under the volume's lock (`VolumeLocks`); sessions come and go without it.
final class VolumeTable: Sendable {
  private struct Entry {
    var stack: VolumeStack?
    /// Operations that use the layers now, beside the sessions.
    var users = 0
    var sessions: [ObjectIdentifier: Session] = [:]
    /// Nil before the first session since this instance began.
    var policy: CurrentWritePolicy?
    /// Sessions of an older generation are refused from here on.
    var minimumGeneration: Int64 = 0

    var isUnused: Bool { users == 0 && sessions.isEmpty }
  }

  private let entries = Mutex<[VolumeName: Entry]>([:])

  func stack(of volume: VolumeName) -> VolumeStack? { entries.withLock { $0[volume]?.stack } }

  /// Notes the open layers of a volume.
  func setStack(_ stack: VolumeStack, of volume: VolumeName) {
    entries.withLock { $0[volume, default: Entry()].stack = stack }
  }

  /// The layers that nobody uses any longer, taken out for their caller to close.
  func takeUnusedStack(of volume: VolumeName) -> VolumeStack? {
    entries.withLock { entries in
      guard let entry = entries[volume], entry.isUnused, let stack = entry.stack else { return nil }
      entries[volume]?.stack = nil
      return stack
    }
  }

  /// The open layers of a volume, taken out for their caller to close, whoever uses them.
  func takeStack(of volume: VolumeName) -> VolumeStack? {
    entries.withLock { entries in
      defer { entries[volume]?.stack = nil }
      return entries[volume]?.stack
    }
  }

  func sessions(of volume: VolumeName) -> [Session] {
    entries.withLock { $0[volume].map { Array($0.sessions.values) } ?? [] }
  }

  func beginUse(of volume: VolumeName) { entries.withLock { $0[volume, default: Entry()].users += 1 } }

  func endUse(of volume: VolumeName) { entries.withLock { $0[volume]?.users -= 1 } }

  /// The write policy that the sessions of a volume follow.
  ///
  /// - Parameter known: what it is where none was set since this instance began; it may be older than one that was.
  func policy(of volume: VolumeName, known: WritePolicy) -> CurrentWritePolicy {
    entries.withLock { entries in
      if let policy = entries[volume]?.policy { return policy }
      let policy = CurrentWritePolicy(known)
      entries[volume, default: Entry()].policy = policy
      return policy
    }
  }

  /// Has the sessions of a volume follow a policy that is durable.
  func setPolicy(_ policy: WritePolicy, of volume: VolumeName) {
    entries.withLock { entries in
      if let current = entries[volume]?.policy { return current.set(policy) }
      entries[volume, default: Entry()].policy = CurrentWritePolicy(policy)
    }
  }

  /// Admits a session, unless the volume was fenced meanwhile.
  func add(_ session: Session) -> Bool {
    entries.withLock { entries in
      var entry = entries[session.volume] ?? Entry()
      guard session.generation >= entry.minimumGeneration else { return false }
      entry.sessions[ObjectIdentifier(session)] = session
      entries[session.volume] = entry
      return true
    }
  }

  func remove(_ session: Session) {
    entries.withLock { $0[session.volume]?.sessions[ObjectIdentifier(session)] = nil }
  }

  func sessionCount(of volume: VolumeName) -> Int { entries.withLock { $0[volume]?.sessions.count ?? 0 } }

  func sessionCount() -> Int { entries.withLock { $0.values.reduce(0) { $0 + $1.sessions.count } } }

  /// What the clients of all volumes did so far.
  func activity() -> ResyncPace.Activity {
    allSessions().reduce(into: ResyncPace.Activity()) { sum, session in
      let one = session.gate.activity
      sum.begun &+= one.begun
      sum.inFlight += one.inFlight
    }
  }

  /// Refuses sessions of generations below `minimum` from now on, and names those that exist.
  func fence(_ volume: VolumeName, below minimum: Int64) -> [Session] {
    entries.withLock { entries in
      var entry = entries[volume] ?? Entry()
      entry.minimumGeneration = max(entry.minimumGeneration, minimum)
      entries[volume] = entry
      return entry.sessions.values.filter { $0.generation < minimum }
    }
  }

  /// Every session of every volume.
  func allSessions() -> [Session] { entries.withLock { $0.values.flatMap(\.sessions.values) } }

  /// Every volume that was used since this instance began; their layers may be open, or being closed.
  func usedVolumes() -> [VolumeName] { entries.withLock { Array($0.keys) } }

  /// The volumes whose layers are open.
  func openVolumes() -> [VolumeName] { entries.withLock { $0.filter { $0.value.stack != nil }.map(\.key) } }
}
