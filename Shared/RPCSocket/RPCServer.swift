import Glibc
import Logging
import RPC
import Synchronization

/// Serves a router on a listening Unix socket.
///
/// The listener comes from outside and is often one that another process holds, too: it is made non-blocking, accepted from, and never
/// closed; its path is never touched.
///
/// The socket layer is this project's own (epoll and one thread, no SwiftNIO): an answer is written by the thread that has it, idle
/// services sleep, and a service starts in a few milliseconds and a few MiB, which is what a failover waits for.
public final class RPCServer: Sendable {
  private struct State {
    var connections: [Int: ServerConnection] = [:]
    var perUser: [UInt32: Int] = [:]
    var nextConnection = 1
    var isAccepting = false
    var isStopped = false
    var listening: EventLoop.Registration?
    var ended: CheckedContinuation<Void, Never>?
    var drained: [CheckedContinuation<Void, Never>] = []
    var pinger: RPCClient?
  }

  private let listener: Int32
  private let router: Router
  private let policy: RolePolicy
  private let limits: RPCLimits
  private let logger: Logger
  private let loop: EventLoop
  private let budget: InboundBudget
  private let accept: @Sendable (Int32) -> Accepted
  private let state = Mutex(State())

  public convenience init(
    listener: Int32, router: Router, policy: RolePolicy, limits: RPCLimits = .init(), logger: Logger
  ) {
    self.init(
      listener: listener, router: router, policy: policy, limits: limits, logger: logger, accept: UnixSocket.accept)
  }

  /// `accept` stands in for the system call, so that a test can let it fail.
  package init(
    listener: Int32, router: Router, policy: RolePolicy, limits: RPCLimits, logger: Logger,
    accept: @escaping @Sendable (Int32) -> Accepted
  ) {
    self.accept = accept
    self.listener = listener
    self.router = router
    self.policy = policy
    self.limits = limits
    self.logger = logger
    loop = EventLoop(name: "ftvs-rpc")
    budget = InboundBudget(limit: limits.inboundBytes, free: limits.inlineParseBytes)
  }

  // MARK: Life

  /// Accepts and serves until the task is cancelled, or `stop` or `drain` is called. Every connection is closed when this returns.
  public func run() async throws(RPCError) {
    raiseDescriptorLimit()
    UnixSocket.setNonBlocking(listener)
    guard loop.start() else { throw Self.noResources }
    let acceptor = Acceptor(server: self)
    guard let registration = loop.add(listener, .readable, acceptor) else { throw Self.noResources }
    let isRunning = state.withLock { state in
      guard !state.isStopped else { return false }
      state.listening = registration
      state.isAccepting = true
      return true
    }
    if !isRunning { loop.remove(registration, listener) }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isStopped = state.withLock { state in
          if !state.isStopped { state.ended = continuation }
          return state.isStopped
        }
        if isStopped { continuation.resume() }
      }
    } onCancel: {
      stop()
    }
    await closeAll()
    loop.stop()
  }

  /// Ends `run`: connections are closed, and what is in flight is cancelled.
  public func stop() {
    stopAccepting()
    let ended = state.withLock { state in
      state.isStopped = true
      defer { state.ended = nil }
      return state.ended
    }
    ended?.resume()
  }

  /// Leaves further connections to the other process that holds the listener. When this returns, none is accepted any more.
  public func stopAccepting() {
    let registration = state.withLock { state in
      state.isAccepting = false
      defer { state.listening = nil }
      return state.listening
    }
    if let registration { loop.remove(registration, listener) }
  }

  /// Stops accepting, lets the requests in flight finish, and ends `run`. What arrives meanwhile is answered with `stopping`;
  /// subscriptions end with it. What is not finished after the time-out is cancelled.
  public func drain(timeout: Duration) async {
    stopAccepting()
    loop.execute { [self] in
      let (connections, pinger) = state.withLock { (Array($0.connections.values), $0.pinger) }
      pinger?.close()
      for connection in connections { connection.drain() }
      resumeIfDrained()
    }
    let deadline = Task { [self] in
      try? await Task.sleep(for: timeout)
      let waiting = state.withLock { state in
        defer { state.drained = [] }
        return state.drained
      }
      for continuation in waiting { continuation.resume() }
    }
    await withCheckedContinuation { continuation in
      state.withLock { $0.drained.append(continuation) }
      loop.execute { [self] in resumeIfDrained() }
    }
    deadline.cancel()
    stop()
  }

  private func resumeIfDrained() {
    let waiting = state.withLock { state -> [CheckedContinuation<Void, Never>] in
      guard state.connections.isEmpty, !state.isAccepting else { return [] }
      defer { state.drained = [] }
      return state.drained
    }
    for continuation in waiting { continuation.resume() }
  }

  private func closeAll() async {
    let (connections, pinger) = state.withLock { state in
      defer { state.pinger = nil }
      return (Array(state.connections.values), state.pinger)
    }
    pinger?.close()
    for connection in connections { connection.close() }
    await withCheckedContinuation { continuation in loop.execute { continuation.resume() } }
  }

  /// Whether the serving path advances: a request goes through the event loop, a session and a task, and comes back, in time.
  public func ping(timeout: Duration = .milliseconds(500)) async -> Bool {
    let known = state.withLock { $0.pinger }
    guard let pinger = known ?? makePinger() else { return false }
    do {
      _ = try await pinger.call(Unsubscribe.self, Subscribed(subscription: 0), timeout: timeout)
      return true
    } catch {
      return false
    }
  }

  private func makePinger() -> RPCClient? {
    guard let (near, far) = UnixSocket.pair() else { return nil }
    guard open(far, .root) else {
      close(near)
      return nil
    }
    let client = RPCClient(connected: near, name: "the service itself", limits: limits)
    state.withLock { $0.pinger = client }
    return client
  }

  /// Connections that are open.
  public var connectionCount: Int { state.withLock { $0.connections.count } }

  // MARK: Connections

  /// Accepts what waits. On the loop's thread.
  fileprivate func acceptWaiting() {
    // Whoever shares the listener may have cleared the flag, and a call that waits would stop all connections.
    UnixSocket.setNonBlocking(listener)
    for _ in 0..<64 {
      guard state.withLock({ $0.isAccepting }) else { return }
      switch accept(listener) {
      case .connection(let descriptor): welcome(descriptor)
      case .nothing: return
      case .exhausted:
        logger.warning("Out of descriptors or memory: clients wait in the backlog.")
        return pauseAccepting()
      case .failed(let error):
        logger.error("Accepting failed: \(String(cString: strerror(error)))")
        return pauseAccepting()
      }
    }
  }

  private func pauseAccepting() {
    guard let registration = state.withLock({ $0.listening }) else { return }
    loop.change(registration, listener, [])
    loop.setDeadline(registration, UnixSocket.now() + limits.acceptPause.nanosecondCount)
  }

  fileprivate func resumeAccepting() {
    guard let registration = state.withLock({ $0.listening }) else { return }
    loop.change(registration, listener, .readable)
  }

  private func welcome(_ descriptor: Int32) {
    guard let caller = policy.caller(of: descriptor) else {
      close(descriptor)
      return
    }
    let refusal = state.withLock { state -> String? in
      if state.connections.count >= limits.connections {
        return "The service has \(limits.connections) connections, as many as it takes; try again later."
      }
      if !caller.isService, state.perUser[caller.userID, default: 0] >= limits.connectionsPerUser {
        return "User \(caller.userID) has \(limits.connectionsPerUser) connections, as many as one may; close some."
      }
      return nil
    }
    if let refusal {
      let message = RPCMessage.failure(.null, RPCError(CommonFailure.limitExceeded, refusal))
      var frame = OutboundBuffer()
      frame.append(message)
      _ = frame.send(to: descriptor)
      close(descriptor)
      return
    }
    _ = open(descriptor, caller)
  }

  /// Serves a connected socket; false when the kernel refuses, and the descriptor is closed then.
  private func open(_ descriptor: Int32, _ caller: Caller) -> Bool {
    let number = state.withLock { state in
      defer { state.nextConnection += 1 }
      return state.nextConnection
    }
    var sessionLimits = RPCSession.Limits()
    sessionLimits.subscriptions = limits.subscriptionsPerConnection
    sessionLimits.batchRequests = limits.batchRequests
    sessionLimits.messageBytes = limits.frameBytes
    sessionLimits.inlineParseBytes = limits.inlineParseBytes
    let context = RequestContext(caller: caller, connection: number)
    let connection = ServerConnection(
      number: number, socket: FramedSocket(descriptor, loop: loop, limits: limits, budget: budget),
      session: RPCSession(router: router, context: context, limits: sessionLimits), caller: caller, limits: limits,
      budget: budget, server: self)
    state.withLock { state in
      state.connections[number] = connection
      if connection.isCounted { state.perUser[caller.userID, default: 0] += 1 }
    }
    guard connection.start() else {
      connectionClosed(connection)
      return false
    }
    return true
  }

  func connectionClosed(_ connection: ServerConnection) {
    state.withLock { state in
      guard state.connections.removeValue(forKey: connection.number) != nil, connection.isCounted else { return }
      let count = state.perUser[connection.userID, default: 0] - 1
      state.perUser[connection.userID] = count > 0 ? count : nil
    }
    resumeIfDrained()
  }

  /// So that the connection limit, not the shell's default of 1,024 descriptors, is what counts.
  private func raiseDescriptorLimit() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    let wanted = min(limit.rlim_max, rlim_t(limits.connections + 1_024))
    guard limit.rlim_cur < wanted else { return }
    limit.rlim_cur = wanted
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }

  private static let noResources = RPCError(
    CommonFailure.limitExceeded,
    "The process is out of descriptors or threads; raise its limits (LimitNOFILE=, TasksMax=).")
}

/// Watches the listener.
private final class Acceptor: EventHandler {
  private let server: RPCServer

  init(server: RPCServer) { self.server = server }

  func ready(_ events: EventLoop.Events) { server.acceptWaiting() }
  func deadlinePassed() { server.resumeAccepting() }
}
