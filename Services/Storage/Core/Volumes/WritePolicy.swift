import Primitives
import StorageAPI
import Synchronization

/// How a volume is written, as the state holds it.
struct WritePolicy: Sendable, Equatable {
  var cache: CachePolicy = .writeBack
  var onOneLeg: OneLegPolicy = .continue
}

/// The write policy of a volume in use: every request of its clients asks.
final class CurrentWritePolicy: Sendable {
  private let isThrough: Atomic<Bool>
  private let holds: Atomic<Bool>

  init(_ policy: WritePolicy) {
    isThrough = Atomic(policy.cache == .writeThrough)
    holds = Atomic(policy.onOneLeg == .hold)
  }

  func set(_ policy: WritePolicy) {
    isThrough.store(policy.cache == .writeThrough, ordering: .sequentiallyConsistent)
    holds.store(policy.onOneLeg == .hold, ordering: .sequentiallyConsistent)
  }

  /// Whether each write is to be durable before it is answered.
  @inline(__always)
  var isWriteThrough: Bool { isThrough.load(ordering: .acquiring) }

  /// Whether no write is answered while only one leg is in step.
  @inline(__always)
  var holdsOnOneLeg: Bool { holds.load(ordering: .acquiring) }
}

/// The sessions with changes that are not answered until both legs are in step.
final class HeldSessions: Sendable {
  private struct Waiting {
    var session: Session
    var release: @Sendable () -> Void
  }

  private let waiting = Mutex<[Waiting]>([])

  /// Adds a session. Whether it is the first of its volume.
  func add(_ session: Session, _ release: @escaping @Sendable () -> Void) -> Bool {
    waiting.withLock { waiting in
      defer { waiting.append(Waiting(session: session, release: release)) }
      return !waiting.contains { $0.session.volume == session.volume }
    }
  }

  /// Forgets a session that ended.
  func forget(_ session: Session) { waiting.withLock { $0.removeAll { $0.session === session } } }

  /// Lets the sessions go on that fulfil the condition. Returns their volumes.
  func release(where mayGoOn: (Session) -> Bool) -> Set<VolumeName> {
    let released = waiting.withLock { waiting in
      let released = waiting.filter { mayGoOn($0.session) }
      waiting.removeAll { one in released.contains { $0.session === one.session } }
      return released
    }
    for one in released { one.release() }
    return Set(released.map(\.session.volume))
  }

  func count(of volume: VolumeName) -> Int {
    waiting.withLock { Set($0.filter { $0.session.volume == volume }.map { ObjectIdentifier($0.session) }).count }
  }
}
