import Primitives
import BlockLayers
import CLinuxFile
import Glibc
import Logging

/// A server of block devices over the NBD protocol: fixed newstyle, structured replies, block status.
///
/// One thread accepts, one thread serves each connection, and a few flush. None of the calls may be made from the
/// cooperative pool, but for the asynchronous ones.
public final class NBDServer: @unchecked Sendable {
  // `connections`, `accepted`, `isAccepting` and `isStopped` are touched only with `monitor` held; the rest is immutable and Sendable.

  private let listener: Int32
  private let provider: any NBDExportProvider
  private let limits: NBDLimits
  private let logger: Logger
  private let pool: WorkerPool
  private let largeReads: NBDBudget
  /// Readable once the acceptor is to end; negative when the system had no descriptor to give.
  private let wake: Int32
  private let monitor = Monitor()
  private var connections: [ObjectIdentifier: NBDConnection] = [:]
  /// Connections that were accepted, to tell which is the oldest.
  private var accepted: UInt64 = 0
  private var isAccepting = false
  private var isStopped = false

  /// - Parameters:
  ///   - listener: a listening socket. It may be shared with another process; it is made non-blocking and never closed.
  ///   - exports: decides who gets what.
  public init(listener: Int32, exports: some NBDExportProvider, limits: NBDLimits = .init(), logger: Logger) {
    self.listener = listener
    provider = exports
    self.limits = limits
    self.logger = logger
    pool = WorkerPool(name: "ftvs-nbd-flush", limit: limits.flushThreads)
    largeReads = NBDBudget(limit: limits.largeReadBytes)
    wake = eventfd(0, Int32(O_CLOEXEC))
  }

  deinit {
    if wake >= 0 { close(wake) }
  }

  /// Begins to accept connections. False when it was stopped, accepts already, or the system has no thread or no
  /// descriptor to give: what could not be told to end is not begun.
  public func start() -> Bool {
    let begins = monitor.locked { () -> Bool in
      guard !isAccepting, !isStopped, wake >= 0 else { return false }
      isAccepting = true
      return true
    }
    guard begins else { return false }
    _ = fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK)
    let started = IOThread.start(name: "ftvs-nbd") { [self] in accept() }
    if !started { monitor.locked { isAccepting = false } }
    return started
  }

  /// Connections that have opened an export or are about to.
  public var sessions: [NBDSessionStatus] {
    monitor.locked { Array(connections.values) }.compactMap { connection in
      connection.exportName.withLock { $0 }
        .map { NBDSessionStatus(exportName: $0, peerUserID: connection.peerUserID) }
    }
  }

  /// Ends every connection that has this export open. When it returns, none of their requests is under way, and none
  /// that was received is executed later. The provider must refuse the name before this is called, or clients come
  /// back. Blocks as long as a request takes that has begun; must not be called while holding what the device or the
  /// provider waits for.
  public func closeSessions(of exportName: String) { closeSessions { $0 == exportName } }

  /// Cuts every connection to an export without waiting: nothing is answered or received any more.
  public func cutSessions(of exportName: String) {
    let cut = monitor.locked {
      connections.values.filter { connection in connection.exportName.withLock { $0 == exportName } }
    }
    fence(cut)
  }

  /// Ends every connection whose export's name fulfils the condition; as `closeSessions(of:)`.
  public func closeSessions(where matches: (String) -> Bool) {
    monitor.lock()
    let fenced = connections.values.filter { $0.exportName.withLock { $0 }.map(matches) ?? false }
    monitor.unlock()
    fence(fenced)
    waitForEnd(of: fenced)
  }

  /// The same for asynchronous callers: waits on a thread of its own.
  public func closeSessionsAsync(of exportName: String) async {
    await withCheckedContinuation { continuation in
      let started = IOThread.start(name: "ftvs-nbd-fence") { [self] in
        closeSessions(of: exportName)
        continuation.resume()
      }
      if !started {
        closeSessions(of: exportName)
        continuation.resume()
      }
    }
  }

  /// Accepts no more. Connections that wait go to whoever else accepts from the listener.
  public func stopAccepting() {
    monitor.lock()
    isStopped = true
    if isAccepting {
      var one: UInt64 = 1
      _ = write(wake, &one, 8)
    }
    while isAccepting { monitor.wait() }
    monitor.unlock()
  }

  /// Accepts no more, answers what has arrived, and ends all connections. Clients that do not take their answers are cut
  /// off after a time.
  public func stop() {
    stopAccepting()
    let all = monitor.locked { Array(connections.values) }
    for connection in all { connection.stopReceiving() }
    let late = IOThread.start(name: "ftvs-nbd-stop") { [limits] in
      sleep(UInt32(clamping: limits.stopSeconds))
      for connection in all { connection.shutDown(fencing: false) }
    }
    if !late { for connection in all { connection.shutDown(fencing: false) } }
    waitForEnd(of: all)
  }

  private func fence(_ fenced: [NBDConnection]) {
    for connection in fenced { connection.shutDown(fencing: true) }
    largeReads.wakeFenced()
  }

  private func waitForEnd(of ending: [NBDConnection]) {
    monitor.lock()
    while ending.contains(where: { connections[ObjectIdentifier($0)] != nil }) { monitor.wait() }
    monitor.unlock()
  }

  // MARK: Accepting

  private func accept() {
    var watched = [
      pollfd(fd: wake, events: Int16(POLLIN), revents: 0),
      pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
    ]
    while !monitor.locked({ isStopped }) {
      guard poll(&watched, 2, -1) >= 0 || errno == EINTR else { break }
      guard watched[0].revents == 0 else { break }
      let descriptor = accept4(listener, nil, nil, Int32(SOCK_CLOEXEC.rawValue))
      if descriptor >= 0 {
        serve(descriptor)
      } else if errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS {
        logger.error("no connection can be accepted", metadata: ["errno": "\(errno)"])
        // Until somebody leaves; only the order to stop is listened to meanwhile.
        _ = poll(&watched, 1, 100)
      } else if errno == EBADF || errno == EINVAL || errno == ENOTSOCK {
        logger.critical("the NBD listener is gone", metadata: ["errno": "\(errno)"])
        break
      }
    }
    monitor.lock()
    isAccepting = false
    monitor.wakeAll()
    monitor.unlock()
  }

  /// Serves a client over a connected socket, which is closed afterwards.
  package func serve(_ descriptor: Int32) {
    let connection = NBDConnection(descriptor: descriptor)
    let isTaken = monitor.locked { () -> Bool in
      guard !isStopped, connections.count < limits.connections || evictSilent() else { return false }
      accepted += 1
      connection.number = accepted
      connections[ObjectIdentifier(connection)] = connection
      return true
    }
    guard isTaken else {
      logger.warning("an NBD connection too many was closed", metadata: ["limit": "\(limits.connections)"])
      return connection.close()
    }
    if !IOThread.start(name: "ftvs-nbd-client", { [self] in serve(connection) }) { end(connection) }
  }

  /// Ends the connection that has gone longest without choosing an export: a guest that comes back after a failover is
  /// not kept out by who says nothing. False when each of them has chosen. Called with `monitor` held.
  private func evictSilent() -> Bool {
    // Those that were ended already are about to leave; were they not, nobody is taken in any more.
    guard connections.count < 2 * limits.connections else { return false }
    let silent = connections.values.filter { !$0.isEvicted && $0.exportName.withLock { $0 == nil } }
    guard let oldest = silent.min(by: { $0.number < $1.number }) else { return false }
    oldest.isEvicted = true
    oldest.shutDown(fencing: false)
    return true
  }

  // MARK: Serving

  private func serve(_ connection: NBDConnection) {
    defer { end(connection) }
    do throws(NBDEnd) {
      var input = NBDInput(connection, capacity: NBDTransmission.usualPayload + 4096)
      connection.limitClient(seconds: limits.negotiationSeconds)
      var negotiation = NBDNegotiation(connection, provider, limits)
      let agreement = try negotiation.run(&input)
      connection.limitClient(seconds: nil)
      var transmission = NBDTransmission(connection, agreement, limits, pool, largeReads)
      try transmission.run(&input)
    } catch {
      guard case .breach(let reason) = error else { return }
      let name = connection.exportName.withLock { $0 } ?? ""
      logger.warning(
        "an NBD client broke the protocol",
        metadata: ["export": "\(String(reflecting: name))", "uid": "\(connection.peerUserID)", "reason": "\(reason)"])
    }
  }

  /// Nothing of the connection is under way any more.
  private func end(_ connection: NBDConnection) {
    connection.close()
    monitor.lock()
    connections[ObjectIdentifier(connection)] = nil
    monitor.wakeAll()
    monitor.unlock()
  }
}
