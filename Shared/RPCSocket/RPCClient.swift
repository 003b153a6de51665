import RPC
import Synchronization

/// One connection to a service.
///
/// Any number of tasks may call at once; answers are matched to their calls. When the connection ends, every call that waits fails with
/// `connectionLost` and every subscription's stream throws it: connect anew, or use `ServiceClient` of FTVSClient, which does.
public final class RPCClient: RPCCaller {
  private let connection: ClientConnection
  private let limits: RPCLimits

  /// Connects to a service's socket. While the backlog is full (a service that is starting or failing over) this waits.
  ///
  /// Fails with `unreachable` when nothing listens there, and with `timedOut` when the backlog stays full.
  public static func connect(
    path: String, timeout: Duration? = nil, limits: RPCLimits = .init()
  ) async throws(RPCError) -> RPCClient {
    let deadline = ContinuousClock.now + (timeout ?? limits.connectTimeout)
    var pause = Duration.milliseconds(1)
    while true {
      switch UnixSocket.connect(path) {
      case .connection(let descriptor): return RPCClient(connected: descriptor, name: path, limits: limits)
      case .failed(let error): throw ConnectFailure.error(error, path)
      case .pathTooLong: throw ConnectFailure.pathTooLong(path)
      case .full: break
      }
      guard ContinuousClock.now < deadline else { throw ConnectFailure.full(path) }
      do {
        try await Task.sleep(for: pause)
      } catch {
        throw RPCError(CommonFailure.cancelled, "Connecting to \(path) was cancelled.")
      }
      pause = min(pause * 2, .milliseconds(20))
    }
  }

  /// Takes over a connected socket, which is made non-blocking. `name` is what errors call the peer.
  public init(connected descriptor: Int32, name: String, limits: RPCLimits = .init()) {
    self.limits = limits
    UnixSocket.setNonBlocking(descriptor)
    connection = ClientConnection(descriptor, name: name, limits: limits)
    connection.start()
  }

  deinit { connection.close() }

  /// Ends the connection; calls that wait fail with `connectionLost`.
  public func close() { connection.close() }

  /// Whether the connection has not ended yet.
  public var isOpen: Bool { connection.isOpen }

  // MARK: Declared methods

  /// Calls a method and waits for its answer, at most `timeout` (the limits' `callTimeout` when nil).
  public func call<M: RPCMethod>(_ method: M.Type, _ params: M.Params, timeout: Duration?) async throws(RPCError)
    -> M.Result
  {
    let result = try await call(method: M.name, params: try WireCoder.encode(params), timeout: timeout)
    return try WireCoder.decode(M.Result.self, from: result, unknownMembers: .ignore, name: "result")
  }

  public func call<M: RPCMethod>(_ method: M.Type, _ params: M.Params) async throws(RPCError) -> M.Result {
    try await call(method, params, timeout: nil)
  }

  public func subscribe<S: RPCSubscription>(
    _ subscription: S.Type, _ params: S.Params
  ) async throws(RPCError) -> AsyncThrowingStream<S.Event, any Error> {
    try await subscribe(method: S.name, params: try WireCoder.encode(params)) { json throws(RPCError) in
      try WireCoder.decode(S.Event.self, from: json, unknownMembers: .ignore, name: "event")
    }
  }

  public func notify<M: RPCMethod>(_ method: M.Type, _ params: M.Params) async throws(RPCError) {
    try notify(method: M.name, params: try WireCoder.encode(params))
  }

  // MARK: Methods by name

  /// Calls a method by its name: for tools that know only what `rpc.discover` says.
  public func call(method: String, params: JSONValue, timeout: Duration? = nil) async throws(RPCError) -> JSONValue {
    try await connection.call(method, params, timeout ?? limits.callTimeout, sink: nil)
  }

  /// Starts a subscription by its name.
  public func subscribe(
    method: String, params: JSONValue
  ) async throws(RPCError) -> AsyncThrowingStream<JSONValue, any Error> {
    try await subscribe(method: method, params: params) { json throws(RPCError) in json }
  }

  /// Sends a notification by its name.
  public func notify(method: String, params: JSONValue) throws(RPCError) {
    try connection.notify(method, params)
  }

  private func subscribe<Event: Sendable>(
    method: String, params: JSONValue, decode: @escaping @Sendable (JSONValue) throws(RPCError) -> Event
  ) async throws(RPCError) -> AsyncThrowingStream<Event, any Error> {
    let (stream, continuation) = AsyncThrowingStream<Event, any Error>.makeStream(
      bufferingPolicy: .bufferingOldest(limits.waitingEvents))
    let sink = EventSink(
      event: { json in
        do {
          if case .dropped = continuation.yield(try decode(json)) { continuation.finish(throwing: Self.tooSlow) }
        } catch {
          continuation.finish(throwing: error)
        }
      }, end: { continuation.finish(throwing: $0) })
    let answer = try await connection.call(method, params, limits.callTimeout, sink: sink)
    guard let number = answer["subscription"]?.integer else {
      throw RPCError(CommonFailure.answerNotUnderstood, "\(method) was not answered with a subscription.")
    }
    // The stream keeps the connection: it lives as long as somebody follows.
    continuation.onTermination = { [self] _ in connection.unsubscribe(number) }
    return stream
  }

  private static let tooSlow = RPCError(
    CommonFailure.limitExceeded,
    "This program did not take events as fast as they came; subscribe again from where it is.")
}
