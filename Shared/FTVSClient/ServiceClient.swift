import Glibc
import RPC
import RPCSocket
import Synchronization

/// A client of one service that outlives the instances that serve it.
///
/// It connects at the first call and anew after each failover. A call whose connection ended before the answer is made again until the
/// deadline, where that is safe: methods that read or are idempotent, and keyed ones with the same key, which is drawn here when the
/// caller gave none. So a call succeeds once, or fails with a reason.
public final class ServiceClient: RPCCaller {
  private struct State {
    var client: RPCClient?
    /// Set while somebody connects; others wait for it.
    var connecting: Task<Result<RPCClient, RPCError>, Never>?
  }

  private let socketPath: String
  private let deadline: Duration
  private let limits: RPCLimits
  private let state = Mutex(State())

  /// - Parameters:
  ///   - socketPath: The service's socket, such as `/run/ftvs/vm.sock`.
  ///   - deadline: How long a call may take, with all its repeats.
  public init(socketPath: String, deadline: Duration = .seconds(30), limits: RPCLimits = .init()) {
    self.socketPath = socketPath
    self.deadline = deadline
    self.limits = limits
  }

  // MARK: Declared methods

  public func call<M: RPCMethod>(_ method: M.Type, _ params: M.Params) async throws(RPCError) -> M.Result {
    try await call(method, params, deadline: nil)
  }

  /// Calls a method with a deadline of its own.
  public func call<M: RPCMethod>(
    _ method: M.Type, _ params: M.Params, deadline: Duration?
  ) async throws(RPCError) -> M.Result {
    let json = try WireCoder.encode(keyed(params))
    let result = try await call(method: M.name, params: json, effect: M.effect, deadline: deadline)
    return try WireCoder.decode(M.Result.self, from: result, unknownMembers: .ignore, name: "result")
  }

  /// Starts a subscription. Its stream throws `connectionLost` or `stopping` at a failover: events in between are not repeated, so
  /// subscribe again from where you are, or use `follow`.
  public func subscribe<S: RPCSubscription>(
    _ subscription: S.Type, _ params: S.Params
  ) async throws(RPCError) -> AsyncThrowingStream<S.Event, any Error> {
    let until = ContinuousClock.now + deadline
    return try await repeating(until: until, effect: S.effect) { client, _ throws(RPCError) in
      try await client.subscribe(subscription, params)
    }
  }

  public func notify<M: RPCMethod>(_ method: M.Type, _ params: M.Params) async throws(RPCError) {
    try await connected(until: ContinuousClock.now + deadline).notify(method, params)
  }

  /// Follows a subscription through failovers: it subscribes anew with the parameters that `params` makes of the last event (nil
  /// before the first), and ends with the subscription, or with an error that a new one does not cure.
  ///
  /// Also a reader who is too slow for a time is only held up: what it missed comes with the next subscription.
  public func follow<S: RPCSubscription>(
    _ subscription: S.Type, _ params: @escaping @Sendable (S.Event?) -> S.Params
  ) -> AsyncThrowingStream<S.Event, any Error> {
    let follower = Follower<S>(client: self, params: params)
    return AsyncThrowingStream { try await follower.next() }
  }

  // MARK: Methods by name

  /// Calls a method by its name. It is repeated after a lost connection only where `effect` says that this is safe; the parameters
  /// of a keyed method must carry their key then.
  public func call(
    method: String, params: JSONValue, effect: Effect? = nil, deadline: Duration? = nil
  ) async throws(RPCError) -> JSONValue {
    let until = ContinuousClock.now + (deadline ?? self.deadline)
    let safe = effect == .keyed && params["requestKey"]?.string == nil ? nil : effect
    return try await repeating(until: until, effect: safe) { client, remaining throws(RPCError) in
      try await client.call(method: method, params: params, timeout: remaining)
    }
  }

  /// Starts a subscription by its name.
  public func subscribe(
    method: String, params: JSONValue
  ) async throws(RPCError) -> AsyncThrowingStream<JSONValue, any Error> {
    try await repeating(until: ContinuousClock.now + deadline, effect: .read) { client, _ throws(RPCError) in
      try await client.subscribe(method: method, params: params)
    }
  }

  /// Closes the connection, if there is one; the next call connects anew.
  public func close() {
    let client = state.withLock { state in
      defer { state.client = nil }
      return state.client
    }
    client?.close()
  }

  // MARK: Repeating

  private func keyed<Params: WireObject>(_ params: Params) -> Params {
    guard var keyed = params as? any KeyedParams, keyed.requestKey == nil else { return params }
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    keyed.requestKey = .random(millisecondsSinceEpoch: Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000)
    return keyed as? Params ?? params
  }

  private func repeating<R: Sendable>(
    until: ContinuousClock.Instant, effect: Effect?,
    _ body: (RPCClient, _ remaining: Duration) async throws(RPCError) -> R
  ) async throws(RPCError) -> R {
    var pause = Duration.milliseconds(1)
    while true {
      let client = try await connected(until: until)
      let error: RPCError
      do {
        return try await body(client, until - .now)
      } catch let failure {
        error = failure
      }
      guard Self.isCuredByReconnecting(error) else { throw error }
      forget(client)
      // A stopping instance has not executed the call; a lost connection may have.
      guard error.matches(CommonFailure.stopping) || effect != nil, ContinuousClock.now + pause < until else {
        throw error
      }
      do {
        try await Task.sleep(for: pause)
      } catch {
        throw RPCError(CommonFailure.cancelled, "The call was cancelled; it may have been executed.")
      }
      pause = min(pause * 2, .milliseconds(50))
    }
  }

  static func isCuredByReconnecting(_ error: RPCError) -> Bool {
    error.matches(CommonFailure.connectionLost) || error.matches(CommonFailure.stopping)
  }

  private func forget(_ client: RPCClient) {
    state.withLock { state in
      if state.client === client { state.client = nil }
    }
  }

  /// The connection, made when there is none. Calls that come while it is being made share it.
  private func connected(until: ContinuousClock.Instant) async throws(RPCError) -> RPCClient {
    if let client = state.withLock({ $0.client }), client.isOpen { return client }
    let attempt = state.withLock { state -> Task<Result<RPCClient, RPCError>, Never> in
      if let connecting = state.connecting { return connecting }
      let task = Task { await connect(timeout: max(until - .now, .zero)) }
      state.connecting = task
      return task
    }
    return try await attempt.value.get()
  }

  private func connect(timeout: Duration) async -> Result<RPCClient, RPCError> {
    let result: Result<RPCClient, RPCError>
    do {
      result = .success(try await RPCClient.connect(path: socketPath, timeout: timeout, limits: limits))
    } catch {
      result = .failure(error)
    }
    state.withLock { state in
      state.connecting = nil
      state.client = try? result.get()
    }
    return result
  }
}
