import Primitives
import ServiceAPI
import Synchronization

/// The legs as others see them: a snapshot for anybody, a stream of them, and what the watcher compares with.
final class PublishedLegs: Sendable {
  /// What the watcher expects of a leg.
  enum Expectation: Sendable, Hashable {
    /// Open as this.
    case open(LegIdentity)
    /// Out of service; to be tried from this time on (monotonic, in milliseconds).
    case away(retryAt: Int64)
    /// There but refused (another host's, or split); tried again when it is another directory or file.
    case refused(LegIdentity?)
  }

  private struct State {
    var legs: [LegID: LegStatus] = [:]
    var expectations: [LegID: Expectation] = [:]
    var epoch: Int64 = 0
    var followers: [Int: AsyncStream<[LegStatus]>.Continuation] = [:]
    var nextFollower = 0
    var isEnded = false
  }

  private let state = Mutex(State())

  var legs: [LegStatus] { state.withLock { Self.sorted($0.legs) } }
  var epoch: Int64 {
    get { state.withLock { $0.epoch } }
    set { state.withLock { $0.epoch = newValue } }
  }
  var expectations: [LegID: Expectation] { state.withLock { $0.expectations } }

  func expect(_ expectation: Expectation, of leg: LegID) { state.withLock { $0.expectations[leg] = expectation } }

  func status(_ leg: LegID) -> LegStatus? { state.withLock { $0.legs[leg] } }

  /// Publishes a leg's status; `sinceMilliseconds` stays while its state does.
  func set(_ status: LegStatus) {
    state.withLock { state in
      var status = status
      if let old = state.legs[status.leg], old.state == status.state {
        status.sinceMilliseconds = old.sinceMilliseconds
      }
      guard state.legs[status.leg] != status else { return }
      state.legs[status.leg] = status
      let legs = Self.sorted(state.legs)
      for follower in state.followers.values { follower.yield(legs) }
    }
  }

  /// The legs now and after each change; a slow reader misses those in between.
  func changes() -> AsyncStream<[LegStatus]> {
    let (stream, continuation) = AsyncStream.makeStream(of: [LegStatus].self, bufferingPolicy: .bufferingNewest(1))
    let number = state.withLock { state -> Int? in
      guard !state.isEnded else { return nil }
      state.nextFollower += 1
      state.followers[state.nextFollower] = continuation
      continuation.yield(Self.sorted(state.legs))
      return state.nextFollower
    }
    guard let number else {
      continuation.finish()
      return stream
    }
    continuation.onTermination = { [weak self] _ in
      _ = self?.state.withLock { $0.followers.removeValue(forKey: number) }
    }
    return stream
  }

  func end() {
    let followers = state.withLock { state in
      state.isEnded = true
      defer { state.followers = [:] }
      return Array(state.followers.values)
    }
    for follower in followers { follower.finish() }
  }

  private static func sorted(_ legs: [LegID: LegStatus]) -> [LegStatus] {
    legs.values.sorted { $0.leg.rawValue < $1.leg.rawValue }
  }
}
