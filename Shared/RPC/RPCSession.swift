import Synchronization

/// Where a session's messages go.
package protocol RPCSessionOutput: AnyObject, Sendable {
  /// Queues an answer, or the end of a subscription.
  func send(_ message: [UInt8])
  /// Queues an event, or refuses it because so much is queued already.
  func sendEvent(_ message: [UInt8]) -> Bool
  /// Waits until what is queued is sent; false when that takes too long, or the client is gone.
  func waitForRoom() async -> Bool
  /// A request is done and what answers it is queued.
  func requestFinished()
}

/// The requests and subscriptions of one connection. Does no I/O: messages come in by `receive` and leave by the output.
///
/// Each request (or batch) runs in a task of its own, so answers come in whatever order they are ready. A batch's requests run one
/// after the other.
///
/// A task begins on the thread that calls `receive`, and stays there until it waits for something, be it for an actor: a short
/// answer costs no change of threads, which would take longer than all the rest. Handlers begin on an event loop, therefore.
package final class RPCSession: Sendable {
  /// What one connection may have at most.
  package struct Limits: Sendable {
    package var subscriptions = 64
    package var batchRequests = 1_024
    package var messageBytes = 16 << 20
    /// Messages larger than this are parsed in the request's task, so that they do not hold up the caller of `receive`.
    package var inlineParseBytes = 64 << 10

    package init() {}
  }

  private struct State {
    var running: [Int: Task<Void, Never>?] = [:]
    var subscriptions: [Int: Subscription] = [:]
    /// Subscriptions whose handler has not answered yet.
    var opening = 0
    var next = 1
    var hasLeft = false
    var isDraining = false
  }

  private let router: Router
  private let context: RequestContext
  private let limits: Limits
  private let state = Mutex(State())

  package init(router: Router, context: RequestContext, limits: Limits) {
    self.router = router
    self.context = context
    self.limits = limits
  }

  /// Requests that are being handled.
  package var inFlight: Int { state.withLock { $0.running.count } }
  /// Whether nothing is going on: no request, no subscription.
  package var isIdle: Bool {
    state.withLock { $0.running.isEmpty && $0.subscriptions.isEmpty }
  }

  // MARK: Requests

  /// Takes one message.
  ///
  /// `hold` is kept until the message is handled: it stands for the memory that a large one takes.
  package func receive(
    _ text: UnsafeBufferPointer<UInt8>, _ output: some RPCSessionOutput, hold: (any Sendable & AnyObject)? = nil
  ) {
    if text.count > limits.inlineParseBytes {
      let copy = Array(text)
      start(output, atOnce: false) { session in
        defer { withExtendedLifetime(hold) {} }
        do {
          await session.handle(try JSON.parse(copy), output)
        } catch {
          output.send(RPCMessage.failure(.null, Self.parseError(error)))
        }
      }
      return
    }
    do {
      let json = try JSON.parse(text)
      if router.takesNote(json, context) { return }
      start(output, atOnce: json.array == nil) { await $0.handle(json, output) }
    } catch {
      output.send(RPCMessage.failure(.null, Self.parseError(error)))
    }
  }

  private static func parseError(_ error: any Error) -> RPCError {
    RPCError(CommonFailure.parseError, "The message is not JSON: \(error).")
  }

  /// Runs the body in a task; with `atOnce` it begins before this returns.
  private func start(
    _ output: some RPCSessionOutput, atOnce: Bool, _ body: @escaping @Sendable (RPCSession) async -> Void
  ) {
    let number = state.withLock { state -> Int? in
      guard !state.hasLeft else { return nil }
      defer { state.next += 1 }
      state.running.updateValue(nil, forKey: state.next)
      return state.next
    }
    guard let number else { return }
    let run: @Sendable () async -> Void = {
      await body(self)
      self.state.withLock { _ = $0.running.removeValue(forKey: number) }
      output.requestFinished()
    }
    let task = atOnce ? Task.immediate { await run() } : Task { await run() }
    let hasLeft = state.withLock { state in
      if state.running.keys.contains(number) { state.running.updateValue(task, forKey: number) }
      return state.hasLeft
    }
    if hasLeft { task.cancel() }
  }

  private func handle(_ json: JSONValue, _ output: some RPCSessionOutput) async {
    guard case .array(let requests) = json else {
      guard let reply = await reply(to: json, output) else { return }
      output.send(reply.message)
      reply.afterwards?()
      return
    }
    await handle(batch: requests, output)
  }

  private func handle(batch requests: [JSONValue], _ output: some RPCSessionOutput) async {
    guard !requests.isEmpty else {
      output.send(
        RPCMessage.failure(.null, RPCError(CommonFailure.invalidRequest, "A batch holds at least one request.")))
      return
    }
    guard requests.count <= limits.batchRequests else {
      let error = RPCError(
        CommonFailure.limitExceeded, "A batch holds at most \(limits.batchRequests) requests; send several batches.")
      output.send(RPCMessage.failure(.null, error))
      return
    }
    var message: [UInt8] = [UInt8(ascii: "[")]
    var afterwards: [@Sendable () -> Void] = []
    for request in requests {
      guard let reply = await reply(to: request, output) else { continue }
      if message.count > 1 { message.append(UInt8(ascii: ",")) }
      message += reply.message
      if let action = reply.afterwards { afterwards.append(action) }
    }
    guard message.count > 1 else { return }
    message.append(UInt8(ascii: "]"))
    if message.count > limits.messageBytes {
      message = RPCMessage.failure(.null, tooLarge("The answers of this batch", message.count))
    }
    output.send(message)
    for action in afterwards { action() }
  }

  /// What a request is answered with, and what happens once the answer is queued.
  private struct Reply {
    var message: [UInt8]
    var afterwards: (@Sendable () -> Void)?
  }

  private func reply(to json: JSONValue, _ output: some RPCSessionOutput) async -> Reply? {
    let request: RPCRequest
    do {
      request = try RPCRequest(json)
    } catch {
      return Reply(message: RPCMessage.failure(error.identifier, error.error))
    }
    do throws(RPCError) {
      if state.withLock({ $0.isDraining }) { throw Self.stopping }
      if router.isSubscription(request.method) {
        return try await subscribe(request, output)
      }
      let result =
        request.method == Unsubscribe.name
        ? try unsubscribe(request.params) : try await router.answer(request.method, request.params, context)
      return request.identifier.map { limited(RPCMessage.result($0, result), $0) }
    } catch {
      return request.identifier.map { limited(RPCMessage.failure($0, error), $0) }
    }
  }

  private static let stopping = RPCError(
    CommonFailure.stopping, "The service is handing over to its other instance; connect anew and repeat the call.")

  private func limited(_ message: [UInt8], _ identifier: JSONValue) -> Reply {
    guard message.count > limits.messageBytes else { return Reply(message: message) }
    return Reply(message: RPCMessage.failure(identifier, tooLarge("The answer", message.count)))
  }

  private func tooLarge(_ what: String, _ count: Int) -> RPCError {
    RPCError(
      CommonFailure.limitExceeded, "\(what) has \(count) bytes, more than a frame may have: ask for less at a time.",
      data: ["countBytes": .integer(Int64(count)), "limitBytes": .integer(Int64(limits.messageBytes))])
  }

  // MARK: Subscriptions

  /// A subscription's being open, and the lock that keeps an event from being sent after its end.
  private final class Subscription: Sendable {
    let method: String
    private let isOpen = Mutex(true)
    private let pump = Mutex<Task<Void, Never>?>(nil)

    init(_ method: String) { self.method = method }

    /// Runs the body unless the subscription has ended.
    func whileOpen(_ body: () -> Bool) -> Bool { isOpen.withLock { $0 ? body() : false } }

    /// Whether this call is the one that ended it.
    func end() -> Bool {
      let first = isOpen.withLock { isOpen in
        defer { isOpen = false }
        return isOpen
      }
      pump.withLock { $0 }?.cancel()
      return first
    }

    func run(_ body: @escaping @Sendable () async -> Void) {
      let task = Task { await body() }
      pump.withLock { $0 = task }
      if !isOpen.withLock({ $0 }) { task.cancel() }
    }
  }

  private func subscribe(_ request: RPCRequest, _ output: some RPCSessionOutput) async throws(RPCError) -> Reply? {
    // Without an identifier nobody could tell to whom the events belong.
    guard let identifier = request.identifier else { return nil }
    let limit = limits.subscriptions
    let isAllowed = state.withLock { state in
      guard state.subscriptions.count + state.opening < limit else { return false }
      state.opening += 1
      return true
    }
    guard isAllowed else {
      throw RPCError(
        CommonFailure.limitExceeded,
        "This connection has \(limit) subscriptions, as many as it may: end one, or use another connection.")
    }
    let source: EventSource
    do {
      source = try await router.open(request.method, request.params, context)
    } catch {
      state.withLock { $0.opening -= 1 }
      throw error
    }
    let subscription = Subscription(request.method)
    let number = state.withLock { state -> Int? in
      state.opening -= 1
      guard !state.hasLeft, !state.isDraining else { return nil }
      defer { state.next += 1 }
      state.subscriptions[state.next] = subscription
      return state.next
    }
    guard let number else { throw Self.stopping }
    let message = RPCMessage.result(identifier, ["subscription": .integer(Int64(number))])
    return Reply(message: message) {
      subscription.run { await self.pump(source, subscription, number, output) }
    }
  }

  private func pump(
    _ source: EventSource, _ subscription: Subscription, _ number: Int, _ output: some RPCSessionOutput
  ) async {
    let method = subscription.method
    let cut = Mutex<RPCError?>(nil)
    let limits = limits
    let error = await source { event in
      let message = RPCMessage.event(method, number, event)
      guard message.count <= limits.messageBytes else {
        cut.withLock { $0 = self.tooLarge("An event", message.count) }
        return false
      }
      while true {
        var isQueued = false
        guard
          subscription.whileOpen({
            isQueued = output.sendEvent(message)
            return true
          })
        else { return false }
        if isQueued { return true }
        guard await output.waitForRoom() else {
          cut.withLock { $0 = Self.tooSlow }
          return false
        }
      }
    }
    end(number, cut.withLock { $0 } ?? error, output)
  }

  private static let tooSlow = RPCError(
    CommonFailure.limitExceeded,
    "The client did not read events as fast as they came; subscribe again from where it is.")

  /// Ends a subscription from this side and says so.
  private func end(_ number: Int, _ error: RPCError?, _ output: some RPCSessionOutput) {
    guard let subscription = state.withLock({ $0.subscriptions.removeValue(forKey: number) }), subscription.end() else {
      return
    }
    output.send(RPCMessage.end(subscription.method, number, error))
    output.requestFinished()
  }

  private func unsubscribe(_ params: JSONValue) throws(RPCError) -> JSONValue {
    let number = try WireCoder.decode(Subscribed.self, from: params, unknownMembers: .refuse).subscription
    if let subscription = state.withLock({ $0.subscriptions.removeValue(forKey: number) }) { _ = subscription.end() }
    return .object(JSONObject())
  }

  // MARK: The end

  /// The client is gone: everything is cancelled, and what is still answered goes nowhere.
  package func leave() {
    let (running, subscriptions) = state.withLock { state in
      state.hasLeft = true
      defer { state.subscriptions = [:] }
      return (state.running.values.compactMap(\.self), Array(state.subscriptions.values))
    }
    for task in running { task.cancel() }
    for subscription in subscriptions { _ = subscription.end() }
  }

  /// From now on requests are answered with `stopping`; subscriptions end with it. Those in flight are not touched.
  package func drain(_ output: some RPCSessionOutput) {
    let numbers = state.withLock { state in
      state.isDraining = true
      return Array(state.subscriptions.keys)
    }
    for number in numbers { end(number, Self.stopping, output) }
  }
}
