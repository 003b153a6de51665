/// The methods of a service and what handles them.
///
/// A value: built once, at the service's start, then shared by all connections.
public struct Router: Sendable {
  /// What the API's description calls the service.
  public let title: String
  public let version: String
  private var routes: [String: Route] = [:]
  private var notes: [String: @Sendable (JSONValue, RequestContext) -> Bool] = [:]
  private var refusal: (@Sendable () -> RPCError)?
  /// Told the name of each method that is called, known or not.
  public var observer: (@Sendable (_ method: String) -> Void)?

  /// A router with `rpc.discover` and `rpc.unsubscribe`.
  public init(title: String, version: String) {
    self.title = title
    self.version = version
  }

  /// Answers a method with what the handler returns or throws. The handler's task is cancelled when the client leaves.
  ///
  /// The handler begins on the thread that read the request, and other clients wait until it ends or waits for something: what
  /// takes longer than a message takes to read belongs into an actor, or behind `Task.yield()`.
  public mutating func serve<M: RPCMethod>(
    _ method: M.Type,
    _ handler: @escaping @Sendable (M.Params, RequestContext) async throws(RPCError) -> M.Result
  ) {
    let call: Route.Call = { json, context throws(RPCError) in
      let params = try WireCoder.decode(M.Params.self, from: json, unknownMembers: .refuse)
      let result = try await handler(params, context)
      // What heartbeats are answered with, dozens of times a second.
      return M.Result.self == Nothing.self ? .object(JSONObject()) : try WireCoder.encode(result)
    }
    routes[M.name] = Route(description: MethodDescription(method), handling: .call(call))
  }

  /// Takes notifications of a method on the thread that read them, without a task of their own: for what comes dozens of times a
  /// second and is only to be noted down. What the handler does not take (false), and all that wants an answer, goes to the
  /// method's other handler.
  public mutating func note<M: RPCMethod>(_ method: M.Type, _ handler: @escaping @Sendable (M.Params) -> Bool) {
    notes[M.name] = { json, context in
      guard context.caller.may(M.access),
        let params = try? WireCoder.decode(M.Params.self, from: json, unknownMembers: .refuse)
      else { return false }
      return handler(params)
    }
  }

  /// Answers a subscription, and sends what the handler's stream yields until it ends.
  ///
  /// The stream is cancelled (its `onTermination` runs) when the client leaves, unsubscribes or is too slow.
  public mutating func serve<S: RPCSubscription>(
    _ subscription: S.Type,
    _ handler:
      @escaping @Sendable (S.Params, RequestContext) async throws(RPCError) -> AsyncThrowingStream<
        S.Event, any Error
      >
  ) {
    let open: Route.Open = { json, context throws(RPCError) in
      let params = try WireCoder.decode(S.Params.self, from: json, unknownMembers: .refuse)
      return Self.source(of: try await handler(params, context))
    }
    routes[S.name] = Route(description: MethodDescription(subscription: subscription), handling: .subscription(open))
  }

  private static func source<Event: WireObject>(of stream: AsyncThrowingStream<Event, any Error>) -> EventSource {
    { emit in
      do {
        for try await event in stream {
          guard await emit(try WireCoder.encode(event)) else { break }
        }
        return nil
      } catch let error as RPCError {
        return error
      } catch {
        return RPCError(CommonFailure.internalError, "The subscription failed: \(error).")
      }
    }
  }

  /// Adds another router's methods to this one's.
  public mutating func add(_ other: Router) {
    routes.merge(other.routes) { _, new in new }
    notes.merge(other.notes) { _, new in new }
  }

  /// The methods, by name, with those that are built in.
  public var methods: [MethodDescription] {
    (routes.values.map(\.description) + [MethodDescription(Discover.self), MethodDescription(Unsubscribe.self)])
      .sorted { $0.name < $1.name }
  }

  /// Answers every method that is not served with this error, instead of saying that there is none.
  public mutating func refuseOthers(with error: @autoclosure @escaping @Sendable () -> RPCError) { refusal = error }

  /// Whether a method starts a subscription.
  func isSubscription(_ method: String) -> Bool {
    guard case .subscription? = routes[method]?.handling else { return false }
    return true
  }

  /// Whether a message was a notification that is noted down at once, and was.
  func takesNote(_ json: JSONValue, _ context: RequestContext) -> Bool {
    guard !notes.isEmpty, json["id"] == nil, let request = try? RPCRequest(json), let note = notes[request.method],
      note(request.params, context)
    else { return false }
    observer?(request.method)
    return true
  }

  /// Answers a method that is not a subscription.
  func answer(_ method: String, _ params: JSONValue, _ context: RequestContext) async throws(RPCError) -> JSONValue {
    observer?(method)
    if method == Discover.name {
      _ = try WireCoder.decode(Nothing.self, from: params, unknownMembers: .refuse)
      // The document takes milliseconds: not on the event loop.
      await Task.yield()
      return OpenRPC.document(title: title, version: version, methods: methods)
    }
    guard case .call(let call) = try route(method, context) else { throw notFound(method) }
    return try await call(params, context)
  }

  /// Opens a subscription.
  func open(_ method: String, _ params: JSONValue, _ context: RequestContext) async throws(RPCError) -> EventSource {
    observer?(method)
    guard case .subscription(let open) = try route(method, context) else { throw notFound(method) }
    return try await open(params, context)
  }

  private func route(_ method: String, _ context: RequestContext) throws(RPCError) -> Route.Handling {
    guard let route = routes[method] else { throw notFound(method) }
    let access = route.description.access
    guard context.caller.may(access) else { throw context.caller.refusal(of: method, access) }
    return route.handling
  }

  private func notFound(_ method: String) -> RPCError {
    refusal?()
      ?? RPCError(
        CommonFailure.methodNotFound,
        "\(title) has no method \"\(method.prefix(64))\"; rpc.discover lists those it has.",
        data: ["method": .string(String(method.prefix(64)))])
  }
}

/// Sends a subscription's events to `emit` until the stream ends or `emit` wants no more; returns why it ended, where that was
/// an error.
typealias EventSource = @Sendable (_ emit: @Sendable (JSONValue) async -> Bool) async -> RPCError?

/// A method and what handles it. A class, so that to look one up is to copy one reference.
private final class Route: Sendable {
  typealias Call = @Sendable (JSONValue, RequestContext) async throws(RPCError) -> JSONValue
  typealias Open = @Sendable (JSONValue, RequestContext) async throws(RPCError) -> EventSource

  enum Handling: Sendable {
    case call(Call)
    case subscription(Open)
  }

  let description: MethodDescription
  let handling: Handling

  init(description: MethodDescription, handling: Handling) {
    self.description = description
    self.handling = handling
  }
}
