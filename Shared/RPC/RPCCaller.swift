/// Something that methods can be called on: a connection, a service that is reconnected to, a router in this process.
public protocol RPCCaller: Sendable {
  /// Calls a method and waits for its answer.
  func call<M: RPCMethod>(_ method: M.Type, _ params: M.Params) async throws(RPCError) -> M.Result

  /// Starts a subscription. The stream ends with nil when the service ends it, and throws an `RPCError` when it was cut; to end
  /// it, stop iterating: letting go of the stream, or cancelling the task that iterates, tells the service.
  func subscribe<S: RPCSubscription>(
    _ subscription: S.Type, _ params: S.Params
  ) async throws(RPCError) -> AsyncThrowingStream<S.Event, any Error>

  /// Sends a method without waiting for what becomes of it.
  func notify<M: RPCMethod>(_ method: M.Type, _ params: M.Params) async throws(RPCError)
}

extension RPCCaller {
  /// Calls a method that has no parameters.
  public func call<M: RPCMethod>(_ method: M.Type) async throws(RPCError) -> M.Result where M.Params == Nothing {
    try await call(method, Nothing())
  }

  /// Starts a subscription that has no parameters.
  public func subscribe<S: RPCSubscription>(
    _ subscription: S.Type
  ) async throws(RPCError) -> AsyncThrowingStream<S.Event, any Error> where S.Params == Nothing {
    try await subscribe(subscription, Nothing())
  }
}

/// Calls a router in this process, through the same coder and checks as a client on a socket: for tests.
public struct RouterCaller: RPCCaller {
  private let router: Router
  private let context: RequestContext

  public init(_ router: Router, as caller: Caller) {
    self.router = router
    context = RequestContext(caller: caller, connection: 0)
  }

  public func call<M: RPCMethod>(_ method: M.Type, _ params: M.Params) async throws(RPCError) -> M.Result {
    let result = try await router.answer(M.name, try WireCoder.encode(params), context)
    return try WireCoder.decode(M.Result.self, from: result, unknownMembers: .ignore, name: "result")
  }

  public func subscribe<S: RPCSubscription>(
    _ subscription: S.Type, _ params: S.Params
  ) async throws(RPCError) -> AsyncThrowingStream<S.Event, any Error> {
    let source = try await router.open(S.name, try WireCoder.encode(params), context)
    let (stream, continuation) = AsyncThrowingStream<S.Event, any Error>.makeStream()
    let pump = Task {
      let error = await source { event in
        do {
          continuation.yield(try WireCoder.decode(S.Event.self, from: event, unknownMembers: .ignore, name: "event"))
          return true
        } catch {
          continuation.finish(throwing: error)
          return false
        }
      }
      continuation.finish(throwing: error)
    }
    continuation.onTermination = { _ in pump.cancel() }
    return stream
  }

  public func notify<M: RPCMethod>(_ method: M.Type, _ params: M.Params) async throws(RPCError) {
    _ = try? await router.answer(M.name, try WireCoder.encode(params), context)
  }
}
