import RPC
import Synchronization

/// One client of a server: its socket and its session.
final class ServerConnection: FramedSocketOwner, RPCSessionOutput {
  let number: Int
  let userID: UInt32
  /// Whether it counts towards its user's connections.
  let isCounted: Bool
  private let socket: FramedSocket
  private let session: RPCSession
  private let limits: RPCLimits
  private let server: RPCServer
  /// Set while frames wait unread for requests or bytes to become fewer.
  private let isPaused = Atomic(false)
  private let closesWhenIdle = Atomic(false)
  /// Subscriptions that wait for the queue to be sent.
  private let waiting = Mutex<[CheckedContinuation<Bool, Never>]>([])
  private let budget: InboundBudget

  init(
    number: Int, socket: FramedSocket, session: RPCSession, caller: Caller, limits: RPCLimits,
    budget: InboundBudget, server: RPCServer
  ) {
    self.budget = budget
    self.number = number
    self.socket = socket
    self.session = session
    self.limits = limits
    self.server = server
    userID = caller.userID
    isCounted = !caller.isService
  }

  func start() -> Bool { socket.start(self) }

  // MARK: What the socket says

  func mayReceive() -> Bool {
    if hasRoom { return true }
    // Looked at once more after saying so: what finished in between has not seen the flag.
    isPaused.store(true, ordering: .sequentiallyConsistent)
    guard hasRoom else { return false }
    isPaused.store(false, ordering: .sequentiallyConsistent)
    return true
  }

  private var hasRoom: Bool {
    session.inFlight < limits.requestsPerConnection && socket.blockedBytes < limits.readPauseBytes
  }

  func received(_ text: UnsafeBufferPointer<UInt8>) {
    guard text.count > limits.inlineParseBytes else { return session.receive(text, self) }
    guard let hold = budget.take(text.count) else {
      socket.send(RPCMessage.failure(.null, InboundBudget.exceeded))
      return
    }
    session.receive(text, self, hold: hold)
  }

  func queueEmptied() {
    resumeWaiting(true)
    goOn()
  }

  func peerFinishedSending() {
    closesWhenIdle.store(true, ordering: .sequentiallyConsistent)
    closeIfIdle()
  }

  func broken(_ error: RPCError) {
    socket.send(RPCMessage.failure(.null, error))
    session.leave()
  }

  func deadlinePassed() { resumeWaiting(false) }

  func closed() {
    resumeWaiting(false)
    session.leave()
    server.connectionClosed(self)
  }

  // MARK: What the session says

  func send(_ message: [UInt8]) { socket.send(message) }

  func sendEvent(_ message: [UInt8]) -> Bool { socket.send(message, queueLimit: limits.eventQueueBytes) }

  func waitForRoom() async -> Bool {
    await withCheckedContinuation { continuation in
      let isFirst = waiting.withLock { waiting in
        waiting.append(continuation)
        return waiting.count == 1
      }
      if isFirst { socket.setOwnerDeadline(UnixSocket.now() + limits.eventTimeout.nanosecondCount) }
      // What became empty, or closed, before this subscription began to wait has not resumed it.
      if socket.blockedBytes == 0 { resumeWaiting(socket.isOpen) }
    }
  }

  private func resumeWaiting(_ hasRoom: Bool) {
    let continuations = waiting.withLock { waiting in
      defer { waiting = [] }
      return waiting
    }
    guard !continuations.isEmpty else { return }
    socket.setOwnerDeadline(nil)
    for continuation in continuations { continuation.resume(returning: hasRoom) }
  }

  func requestFinished() { goOn() }

  private func goOn() {
    if isPaused.exchange(false, ordering: .sequentiallyConsistent) { socket.resumeReading() }
    closeIfIdle()
  }

  private func closeIfIdle() {
    if closesWhenIdle.load(ordering: .sequentiallyConsistent), session.isIdle { socket.closeWhenSent() }
  }

  // MARK: The end

  /// Answers what has been sent so far, requests not begun yet with `stopping`, and closes. On the loop's thread.
  func drain() {
    session.drain(self)
    socket.receiveAvailable()
    closesWhenIdle.store(true, ordering: .sequentiallyConsistent)
    closeIfIdle()
  }

  func close() { socket.close() }
}
