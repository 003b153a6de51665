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

  init(
    number: Int, socket: FramedSocket, session: RPCSession, caller: Caller, limits: RPCLimits, server: RPCServer
  ) {
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
    session.inFlight < limits.requestsPerConnection && socket.queuedBytes < limits.readPauseBytes
  }

  func received(_ text: UnsafeBufferPointer<UInt8>) { session.receive(text, self) }

  func queueEmptied() { goOn() }

  func peerFinishedSending() {
    closesWhenIdle.store(true, ordering: .sequentiallyConsistent)
    closeIfIdle()
  }

  func broken(_ error: RPCError) {
    socket.send(RPCMessage.failure(.null, error))
    session.leave()
  }

  func deadlinePassed() {}

  func closed() {
    session.leave()
    server.connectionClosed(self)
  }

  // MARK: What the session says

  func send(_ message: [UInt8]) { socket.send(message) }

  func sendEvent(_ message: [UInt8]) -> Bool { socket.send(message, queueLimit: limits.eventQueueBytes) }

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
