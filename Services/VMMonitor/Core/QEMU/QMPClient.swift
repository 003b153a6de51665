import Primitives
import RPC
import Synchronization

/// A connection to QEMU's control socket.
final class QMPClient: Sendable {
  /// Why a command failed.
  enum Failure: Error, Equatable {
    /// The connection ended or could not be made.
    case disconnected(String)
    /// No answer came in time.
    case timedOut(command: String)
    /// QEMU answered with an error.
    case refused(String)
  }

  /// An event that QEMU sent.
  struct Event: Sendable, Equatable {
    var name: String
    var data: JSONValue
  }

  private typealias Waiter = CheckedContinuation<Result<JSONValue, Failure>, Never>

  private struct State {
    var socket: ReactorSocket?
    var splitter = LineSplitter()
    var nextID: Int64 = 1
    var waiters: [Int64: Waiter] = [:]
    var hasGreeting = false
    var greetingWaiter: Waiter?
    var isClosed = false
  }

  private let state = Mutex(State())
  /// What QEMU reports; ends with the connection.
  let events: AsyncStream<Event>
  private let eventSource: AsyncStream<Event>.Continuation

  /// How long QEMU may take for an answer.
  private let answerTime: Duration

  private init(answerTime: Duration) {
    self.answerTime = answerTime
    (events, eventSource) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(256))
  }

  deinit { eventSource.finish() }

  /// Connects, trying again while nobody listens, and negotiates.
  ///
  /// - Parameters:
  ///   - patience: How long nobody may listen.
  ///   - answerTime: How long QEMU may take for each answer, the greeting included.
  static func connect(
    path: String, reactor: SocketReactor, patience: Duration, answerTime: Duration
  ) async throws(Failure) -> QMPClient {
    let deadline = ContinuousClock.now + patience
    var pause = Duration.milliseconds(1)
    while true {
      let client = QMPClient(answerTime: answerTime)
      let socket = reactor.connect(path: path) { [weak client] event in client?.handle(event) }
      if let socket {
        client.state.withLock { $0.socket = socket }
        socket.start()
        try await client.negotiate()
        return client
      }
      guard ContinuousClock.now + pause < deadline else {
        throw .disconnected("nobody listens on \(path)")
      }
      // A socket announces itself by nothing that could be waited for across all of its states.
      do { try await Task.sleep(for: pause) } catch { throw .disconnected("the wait for \(path) was cancelled") }
      pause = min(pause * 2, .milliseconds(4))
    }
  }

  private func negotiate() async throws(Failure) {
    let timer = timer(answerTime, id: nil)
    defer { timer.cancel() }
    let greeting = await withCheckedContinuation { (waiter: Waiter) in
      let answer = state.withLock { state -> Result<JSONValue, Failure>? in
        if state.isClosed { return .failure(.disconnected("QEMU closed the connection")) }
        if state.hasGreeting { return .success(.null) }
        state.greetingWaiter = waiter
        return nil
      }
      if let answer { waiter.resume(returning: answer) }
    }
    _ = try greeting.get()
    _ = try await execute("qmp_capabilities")
  }

  /// Sends a command and waits for its answer.
  ///
  /// - Parameter descriptor: goes with the command, for those that take one; the caller keeps its own.
  func execute(
    _ command: String, _ arguments: JSONValue? = nil, passing descriptor: Int32? = nil
  ) async throws(Failure) -> JSONValue {
    let id = state.withLock { state in
      state.nextID += 1
      return state.nextID
    }
    let timer = timer(answerTime, id: id, command)
    defer { timer.cancel() }
    let answer = await withCheckedContinuation { (waiter: Waiter) in
      let socket = state.withLock { state -> ReactorSocket? in
        guard !state.isClosed else { return nil }
        state.waiters[id] = waiter
        return state.socket
      }
      guard let socket else {
        waiter.resume(returning: .failure(.disconnected("the connection has ended")))
        return
      }
      guard socket.send(QMPMessage.command(command, arguments: arguments, id: id), passing: descriptor) else {
        socket.close()
        return
      }
    }
    return try answer.get()
  }

  /// Ends the connection.
  func close() { state.withLock { $0.socket }?.close() }

  private func timer(_ time: Duration, id: Int64?, _ command: String = "greeting") -> Task<Void, Never> {
    Task { [weak self] in
      do { try await Task.sleep(for: time) } catch { return }
      guard let self else { return }
      let waiter = self.state.withLock { state -> Waiter? in
        guard let id else {
          defer { state.greetingWaiter = nil }
          return state.greetingWaiter
        }
        return state.waiters.removeValue(forKey: id)
      }
      waiter?.resume(returning: .failure(.timedOut(command: command)))
    }
  }

  // MARK: On the reactor's thread

  private func handle(_ event: SocketReactor.Event) {
    switch event {
    case .bytes(let bytes):
      guard let lines = state.withLock({ $0.splitter.add(bytes) }) else { return close() }
      for line in lines { handle(line) }
    case .closed: end()
    }
  }

  private func handle(_ line: ArraySlice<UInt8>) {
    guard let message = QMPMessage(line: line) else { return close() }
    switch message {
    case .greeting:
      let waiter = state.withLock { state -> Waiter? in
        state.hasGreeting = true
        defer { state.greetingWaiter = nil }
        return state.greetingWaiter
      }
      waiter?.resume(returning: .success(.null))
    case .event(let name, let data): eventSource.yield(Event(name: name, data: data))
    case .result(let id, let value): resume(id, .success(value))
    case .failure(let id, let description): resume(id, .failure(.refused(description)))
    }
  }

  private func resume(_ id: Int64?, _ answer: Result<JSONValue, Failure>) {
    guard let id else { return }
    state.withLock { $0.waiters.removeValue(forKey: id) }?.resume(returning: answer)
  }

  private func end() {
    let waiters = state.withLock { state -> [Waiter] in
      state.isClosed = true
      state.socket = nil
      defer {
        state.waiters = [:]
        state.greetingWaiter = nil
      }
      return state.waiters.values + (state.greetingWaiter.map { [$0] } ?? [])
    }
    for waiter in waiters { waiter.resume(returning: .failure(.disconnected("QEMU closed the connection"))) }
    eventSource.finish()
  }
}
