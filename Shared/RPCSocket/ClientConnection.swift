import RPC
import Synchronization

/// Where the events of a subscription go. Called on the loop's thread, in order.
struct EventSink: Sendable {
  let event: @Sendable (JSONValue) -> Void
  let end: @Sendable (RPCError?) -> Void
}

/// A client's socket, the calls that wait for answers, and the subscriptions.
final class ClientConnection: FramedSocketOwner {
  /// As `Result`, whose generic type the runtime would look up several times a call.
  private enum Answer: Sendable {
    case success(JSONValue)
    case failure(RPCError)
  }

  private struct Pending {
    /// Not a checked one, whose generic types the runtime would look up at each call. It is resumed once: by whoever takes this out
    /// of `State.pending`, or by the call itself where it is never put there.
    let continuation: UnsafeContinuation<Answer, Never>
    let deadline: UInt64
    let sink: EventSink?
  }

  private struct State {
    var pending: [Int: Pending] = [:]
    /// Calls that were cancelled before they were registered.
    var cancelled: Set<Int> = []
    var sinks: [Int64: EventSink] = [:]
    var next = 1
    /// The earliest time at which `deadlinePassed` is due, as far as the socket was told.
    var alarm = UInt64.max
    /// Why no more calls are taken.
    var end: RPCError?
  }

  private let socket: FramedSocket
  private let name: String
  private let limits: RPCLimits
  private let state = Mutex(State())

  init(_ descriptor: Int32, name: String, limits: RPCLimits) {
    self.name = name
    self.limits = limits
    socket = FramedSocket(
      descriptor, loop: .clients, limits: limits, budget: InboundBudget(limit: .max, free: 0))
  }

  func start() {
    if !EventLoop.clients.start() || !socket.start(self) {
      let error = RPCError(
        CommonFailure.unreachable, "This program is out of descriptors or threads; raise the limits (ulimit -n, -u).")
      state.withLock { $0.end = error }
    }
  }

  var isOpen: Bool { state.withLock { $0.end == nil } }

  func close() {
    finish(RPCError(CommonFailure.connectionLost, "The connection to \(name) was closed by this program."))
    socket.close()
  }

  // MARK: Calls

  func call(
    _ method: String, _ params: JSONValue, _ timeout: Duration, sink: EventSink?
  ) async throws(RPCError) -> JSONValue {
    let number = state.withLock { state in
      defer { state.next += 1 }
      return state.next
    }
    let message = RPCMessage.request(number, method, params)
    guard message.count <= limits.frameBytes else {
      throw RPCError(
        CommonFailure.limitExceeded,
        "The request has \(message.count) bytes, more than the \(limits.frameBytes) of a frame: send less at a time.")
    }
    let (sum, overflow) = UnixSocket.now().addingReportingOverflow(timeout.nanosecondCount)
    let deadline = overflow ? .max : sum
    let answer: Answer = await withTaskCancellationHandler {
      await withUnsafeContinuation { continuation in
        let pending = Pending(continuation: continuation, deadline: deadline, sink: sink)
        if let refusal = register(number, pending) {
          continuation.resume(returning: .failure(refusal))
        } else if !socket.send(message) {
          resume(number, .failure(lost))
        }
      }
    } onCancel: {
      cancel(number)
    }
    state.withLock { if !$0.cancelled.isEmpty { $0.cancelled.remove(number) } }
    switch answer {
    case .success(let result): return result
    case .failure(let error): throw error
    }
  }

  /// Sends without waiting for an answer.
  func notify(_ method: String, _ params: JSONValue) throws(RPCError) {
    if let end = state.withLock({ $0.end }) { throw end }
    let message = RPCMessage.request(nil, method, params)
    guard message.count <= limits.frameBytes else {
      throw RPCError(
        CommonFailure.limitExceeded, "The notification is longer than a frame may be: send less at a time.")
    }
    guard socket.send(message) else { throw lost }
  }

  func unsubscribe(_ number: Int64) {
    let known = state.withLock { $0.sinks.removeValue(forKey: number) != nil && $0.end == nil }
    guard known else { return }
    // The answer tells nothing new; it is matched to no call and dropped.
    socket.send(
      RPCMessage.request(
        state.withLock { state in
          defer { state.next += 1 }
          return state.next
        }, Unsubscribe.name, ["subscription": .integer(number)]))
  }

  private var lost: RPCError {
    RPCError(
      CommonFailure.connectionLost,
      "The connection to \(name) ended before the answer; the call may have been executed. Connect anew and repeat it.")
  }

  /// Why the call cannot be made, or nil.
  private func register(_ number: Int, _ pending: Pending) -> RPCError? {
    let (refusal, alarm) = state.withLock { state -> (RPCError?, UInt64?) in
      if let end = state.end { return (end, nil) }
      if !state.cancelled.isEmpty, state.cancelled.remove(number) != nil { return (Self.cancelled, nil) }
      guard state.pending.count < limits.pendingCalls else {
        return (
          RPCError(
            CommonFailure.limitExceeded, "\(limits.pendingCalls) calls wait for answers; wait for some of them."), nil
        )
      }
      state.pending[number] = pending
      guard pending.deadline < state.alarm else { return (nil, nil) }
      state.alarm = pending.deadline
      return (nil, pending.deadline)
    }
    if let alarm { socket.setOwnerDeadline(alarm) }
    return refusal
  }

  private static let cancelled = RPCError(CommonFailure.cancelled, "The call was cancelled; it may have been executed.")

  private func cancel(_ number: Int) {
    let pending = state.withLock { state -> Pending? in
      if let pending = state.pending.removeValue(forKey: number) { return pending }
      // Not registered yet, or answered already: the call takes the note away at its end.
      if state.end == nil { state.cancelled.insert(number) }
      return nil
    }
    pending?.continuation.resume(returning: .failure(Self.cancelled))
  }

  private func resume(_ number: Int, _ answer: Answer) {
    let pending = state.withLock { $0.pending.removeValue(forKey: number) }
    pending?.continuation.resume(returning: answer)
  }

  // MARK: What the socket says

  func mayReceive() -> Bool { true }
  func queueEmptied() {}

  func received(_ text: UnsafeBufferPointer<UInt8>) {
    let json: JSONValue
    do {
      json = try JSON.parse(text)
    } catch {
      broken(
        RPCError(
          CommonFailure.answerNotUnderstood, "\(name) sent what is not JSON (\(error)); is it a service of FTVS?"))
      socket.close()
      return
    }
    if json["method"] != nil { notified(json) } else { answered(json) }
  }

  private func answered(_ json: JSONValue) {
    let error = json["error"].map(RPCError.init(json:))
    guard let number = json["id"]?.integer.flatMap({ Int(exactly: $0) }) else {
      // About the connection as a whole: the reason why the service is about to close it.
      if let error { finish(error) }
      return
    }
    let result = json["result"] ?? .null
    let pending = state.withLock { state -> Pending? in
      guard let pending = state.pending.removeValue(forKey: number) else { return nil }
      // Before any later frame is looked at: the next may be its first event.
      if error == nil, let sink = pending.sink, let subscription = result["subscription"]?.integer {
        state.sinks[subscription] = sink
      }
      return pending
    }
    pending?.continuation.resume(returning: error.map(Answer.failure) ?? .success(result))
  }

  private func notified(_ json: JSONValue) {
    guard let params = json["params"], let number = params["subscription"]?.integer else { return }
    if let event = params["event"] {
      let sink = state.withLock { $0.sinks[number] }
      sink?.event(event)
    } else if let end = params["end"] {
      let sink = state.withLock { $0.sinks.removeValue(forKey: number) }
      sink?.end(end == .null ? nil : RPCError(json: end))
    }
  }

  func peerFinishedSending() {
    finish(lost)
    socket.close()
  }

  func broken(_ error: RPCError) { finish(error) }

  func closed() { finish(lost) }

  func deadlinePassed() {
    let now = UnixSocket.now()
    let (late, alarm) = state.withLock { state in
      let numbers = state.pending.filter { $0.value.deadline <= now }.map(\.key)
      let late = numbers.compactMap { state.pending.removeValue(forKey: $0) }
      state.alarm = state.pending.values.map(\.deadline).min() ?? .max
      return (late, state.alarm)
    }
    if alarm != .max { socket.setOwnerDeadline(alarm) }
    let error = RPCError(
      CommonFailure.timedOut, "\(name) did not answer in time; the call may have been executed.")
    for pending in late { pending.continuation.resume(returning: .failure(error)) }
  }

  /// Takes no more calls, and tells those that wait why.
  private func finish(_ error: RPCError) {
    let (pending, sinks) = state.withLock { state in
      if state.end == nil { state.end = error }
      defer {
        state.pending = [:]
        state.sinks = [:]
        state.cancelled = []
      }
      return (Array(state.pending.values), Array(state.sinks.values))
    }
    for call in pending { call.continuation.resume(returning: .failure(error)) }
    for sink in sinks { sink.end(error) }
  }
}
