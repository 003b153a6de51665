import Primitives
import BlockLayers
import CLinuxFile
import Glibc
import Synchronization

/// The part of a connection that several threads use: sending whole answers, and ending it.
///
/// Only the session's own thread ever waits for the client. A worker that has an answer sends it where the socket takes
/// it at once, and leaves it to the session's thread where it does not: a client that takes no answers holds up nobody
/// but itself.
final class NBDConnection: @unchecked Sendable {
  // `isOpen` and the closing of the descriptor happen with `monitor` held, so that nobody shuts down a descriptor that
  // was given to somebody else; sending happens with `sending` held, before the descriptor is closed. `wake` is written
  // by the session's thread before it gives work to a worker, and closed when no worker has any.

  let descriptor: Int32
  let peerUserID: UInt32
  private let monitor = Monitor()
  private var isOpen = true
  /// Held by who sends. Workers never wait for it: the session's thread may hold it for as long as the client likes.
  private let sending = Mutex<Void>(())
  /// Bytes that a worker could not send, which go before anything else. Taken after `sending` by who needs both.
  private let queued = Mutex<[UInt8]>([])
  private let hasQueued = Atomic<Bool>(false)
  /// Answers that workers may still send or queue; only the session's thread makes it more.
  private let awaited = Atomic<Int>(0)
  /// Readable once a worker has queued something.
  private var wake: Int32 = -1
  /// When the client's time is over, and how long it may be silent until `receive` tells; of the session's thread.
  private var deadline: ContinuousClock.Instant?
  private var idleness: Duration?
  /// Its place in the order of arrival, and whether it was ended to make room; of the server's monitor.
  var number: UInt64 = 0
  var isEvicted = false
  /// Nothing that was received may be executed any more.
  let isFenced = Atomic<Bool>(false)

  /// The export's name, from before it is opened; nil until then. Written by the connection's thread, read by a fence.
  let exportName = Mutex<String?>(nil)

  init(descriptor: Int32) {
    self.descriptor = descriptor
    // struct ucred: pid, uid, gid.
    var credentials: (Int32, UInt32, UInt32) = (0, .max, .max)
    var length = socklen_t(MemoryLayout.size(ofValue: credentials))
    let status = getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length)
    // Over other sockets than Unix ones nobody is known.
    peerUserID = status == 0 ? credentials.1 : .max
  }

  // MARK: The session's thread

  /// Sends what workers have queued, and then these bytes. Waits for the client; only for the session's thread.
  func send(_ bytes: UnsafeRawBufferPointer) throws(NBDEnd) {
    try sending.withLock { (_) throws(NBDEnd) in
      if hasQueued.load(ordering: .acquiring) {
        let first = queued.withLock { queued in
          hasQueued.store(false, ordering: .releasing)
          defer { queued = [] }
          return queued
        }
        var end: NBDEnd?
        first.withUnsafeBytes { bytes in
          do throws(NBDEnd) { try sendAll(bytes) } catch { end = error }
        }
        if let end { throw end }
      }
      try sendAll(bytes)
    }
  }

  /// Sends what workers have queued.
  func sendQueued() throws(NBDEnd) {
    guard hasQueued.load(ordering: .acquiring) else { return }
    try send(UnsafeRawBufferPointer(start: nil, count: 0))
  }

  private func sendAll(_ bytes: UnsafeRawBufferPointer) throws(NBDEnd) {
    var done = 0
    while done < bytes.count, let base = bytes.baseAddress {
      try requireTime()
      let count = Glibc.send(descriptor, base + done, bytes.count - done, Int32(MSG_NOSIGNAL))
      if count < 0 {
        if errno == EINTR { continue }
        // A part of an answer may be out: nothing after it could be understood.
        shutDown(fencing: false)
        throw .closed
      }
      done += count
    }
  }

  /// Receives at least one byte; nil when the client was silent for as long as is watched for. Sends meanwhile what workers
  /// queue.
  func receive(_ buffer: UnsafeMutableRawPointer, _ count: Int) throws(NBDEnd) -> Int? {
    while true {
      // In this order: what the last worker queued is seen when none is awaited any more.
      let isAwaiting = awaited.load(ordering: .acquiring) > 0
      try sendQueued()
      try requireTime()
      let received = recv(descriptor, buffer, count, isAwaiting ? Int32(MSG_DONTWAIT) : 0)
      if received > 0 { return received }
      if received < 0, errno == EINTR { continue }
      guard received < 0, errno == EAGAIN else { throw .closed }
      if isAwaiting {
        waitForAny()
      } else if deadline == nil, idleness != nil {
        return nil
      } else {
        throw .closed
      }
    }
  }

  /// Waits for the client's bytes or for a worker's.
  private func waitForAny() {
    var watched = [
      pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: wake, events: Int16(POLLIN), revents: 0),
    ]
    guard poll(&watched, 2, -1) > 0, watched[1].revents != 0 else { return }
    var count: UInt64 = 0
    _ = read(wake, &count, 8)
  }

  /// Whether nothing waits for the client to take it.
  var isQueueEmpty: Bool { !hasQueued.load(ordering: .acquiring) }

  /// One answer more will come from a worker. False when the system has no descriptor to give for that.
  func awaitWorker() -> Bool {
    if wake < 0 { wake = eventfd(0, Int32(O_CLOEXEC | O_NONBLOCK)) }
    guard wake >= 0 else { return false }
    awaited.add(1, ordering: .relaxed)
    return true
  }

  // MARK: Workers

  /// The answer that the session's thread awaits. Never waits for the client.
  func answer(_ bytes: [UInt8]) {
    let isSent = sending.withLockIfAvailable { _ in sendAtOnce(bytes) } ?? false
    if !isSent { queue(bytes, first: false) }
    awaited.subtract(1, ordering: .releasing)
  }

  /// Sends as much as the socket takes and queues the rest. False when nothing was sent. Called with `sending` held.
  private func sendAtOnce(_ bytes: [UInt8]) -> Bool {
    guard isQueueEmpty else { return false }
    let count = bytes.withUnsafeBytes {
      Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
    }
    guard count > 0 else { return false }
    // The rest of an answer comes before what others have queued meanwhile.
    if count < bytes.count { queue(Array(bytes[count...]), first: true) }
    return true
  }

  private func queue(_ bytes: [UInt8], first: Bool) {
    queued.withLock { queued in
      queued.insert(contentsOf: bytes, at: first ? 0 : queued.count)
      hasQueued.store(true, ordering: .releasing)
    }
    var one: UInt64 = 1
    _ = write(wake, &one, 8)
  }

  // MARK: Ending

  /// Ends it now, in both directions.
  func shutDown(fencing: Bool) {
    if fencing { isFenced.store(true, ordering: .sequentiallyConsistent) }
    monitor.locked { if isOpen { _ = shutdown(descriptor, Int32(SHUT_RDWR)) } }
  }

  /// Takes no more requests than have arrived.
  func stopReceiving() {
    monitor.locked { if isOpen { _ = shutdown(descriptor, Int32(SHUT_RD)) } }
  }

  /// Gives the descriptors back; no worker has anything to answer any more.
  func close() {
    monitor.locked {
      guard isOpen else { return }
      isOpen = false
      Glibc.close(descriptor)
      if wake >= 0 { Glibc.close(wake) }
    }
  }
}

// MARK: - The client's time

extension NBDConnection {
  /// From now on the client has this many seconds for all that it is still to send and to take; nil is for ever. Only for
  /// the session's thread.
  func limitClient(seconds: Int?) {
    deadline = seconds.map { ContinuousClock.now + .seconds($0) }
    guard deadline == nil else { return }
    setTimeouts(.zero)
  }

  /// Runs what takes the server's own time, not the client's.
  func onOwnTime<T, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
    let begin = ContinuousClock.now
    defer { if let deadline { self.deadline = deadline + (ContinuousClock.now - begin) } }
    return try body()
  }

  /// Whether `receive` returns when the client is silent.
  var watchesIdleness: Bool { idleness != nil }

  /// From now on `receive` returns when the client was silent for so long; nil is for ever. Only for the session's thread.
  func watchIdleness(milliseconds: Int?) {
    idleness = milliseconds.map { .milliseconds(max($0, 1)) }
    if deadline == nil { setTimeouts(.zero) }
  }

  /// Before each call that waits for the client: no longer than its time lasts.
  @inline(__always)
  private func requireTime() throws(NBDEnd) {
    guard let deadline else { return }
    let rest = deadline - ContinuousClock.now
    guard rest > .zero else {
      shutDown(fencing: false)
      throw .closed
    }
    setTimeouts(rest)
  }

  /// The most that one call waits; zero is for ever, but for idleness that is watched for.
  private func setTimeouts(_ time: Duration) {
    setTimeout(SO_RCVTIMEO, time > .zero ? time : idleness ?? .zero)
    setTimeout(SO_SNDTIMEO, time)
  }

  private func setTimeout(_ option: Int32, _ time: Duration) {
    let (seconds, attoseconds) = time.components
    var limit = timeval(tv_sec: Int(clamping: seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
    if time > .zero, limit.tv_sec == 0, limit.tv_usec == 0 { limit.tv_usec = 1 }
    setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
  }
}
