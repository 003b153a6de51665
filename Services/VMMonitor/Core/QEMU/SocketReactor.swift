import Glibc
import Synchronization

/// One thread that reads from all sockets to guests, so that neither a slow guest nor many of them take a thread of the
/// cooperative pool.
///
/// Handlers are called on that thread, one at a time, and must not block.
final class SocketReactor: Sendable {
  /// What a socket did.
  enum Event: Sendable {
    case bytes([UInt8])
    case closed
  }

  typealias Handler = @Sendable (Event) -> Void

  private struct Entry {
    var id: UInt64
    var handler: Handler
    var isWatched = false
  }

  private struct State {
    var entries: [Int32: Entry] = [:]
    var nextID: UInt64 = 1
  }

  /// A byte written to the second end of this pipe makes the thread look at what it is to watch.
  private let wakeReader: Int32
  private let wakeWriter: Int32
  private let state = Mutex(State())

  /// The one of this process; nil where the system had no descriptors left.
  static let shared = SocketReactor()

  /// Nil where the system has no descriptors left.
  init?() {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { return nil }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    (wakeReader, wakeWriter) = (ends[0], ends[1])
    // The thread keeps the reactor alive: there is one for the life of the process.
    let thread = Thread(self)
    guard thread.start() else { return nil }
  }

  /// Connects to a Unix socket without waiting; returns nil, with `errno` set, when nobody accepts now.
  func connect(path: String, handler: @escaping Handler) -> ReactorSocket? {
    let descriptor = Self.connected(path)
    guard descriptor >= 0 else { return nil }
    let id = state.withLock { state -> UInt64 in
      state.nextID += 1
      state.entries[descriptor] = Entry(id: state.nextID, handler: handler)
      return state.nextID
    }
    return ReactorSocket(descriptor: descriptor, id: id, reactor: self)
  }

  private static func connected(_ path: String) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      errno = ENAMETOOLONG
      return -1
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let descriptor = socket(AF_UNIX, kind, 0)
    guard descriptor >= 0 else { return -1 }
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard result == 0 else {
      let reason = errno
      Glibc.close(descriptor)
      errno = reason
      return -1
    }
    return descriptor
  }

  /// Begins to read: the handler is called from now on.
  fileprivate func watch(_ descriptor: Int32, id: UInt64) {
    state.withLock { state in
      guard state.entries[descriptor]?.id == id else { return }
      state.entries[descriptor]?.isWatched = true
    }
    wake()
  }

  private func wake() {
    var byte: UInt8 = 1
    _ = write(wakeWriter, &byte, 1)
  }

  /// Forgets a socket and closes it. Only the first call for an `id` does anything.
  fileprivate func drop(_ descriptor: Int32, id: UInt64) -> Handler? {
    let handler = state.withLock { state -> Handler? in
      guard let entry = state.entries[descriptor], entry.id == id else { return nil }
      state.entries[descriptor] = nil
      Glibc.close(descriptor)
      return entry.handler
    }
    if handler != nil { wake() }
    return handler
  }

  /// Sends all of the bytes or says that it cannot. The lock keeps the descriptor from being closed meanwhile.
  fileprivate func send(_ bytes: [UInt8], passing passed: Int32?, to descriptor: Int32, id: UInt64) -> Bool {
    state.withLock { state in
      guard state.entries[descriptor]?.id == id else { return false }
      var done = 0
      while done < bytes.count {
        let count =
          if let passed, done == 0 {
            DescriptorMessage.send(bytes, passing: passed, to: descriptor)
          } else {
            bytes.withUnsafeBytes {
              Glibc.send(descriptor, $0.baseAddress?.advanced(by: done), $0.count - done, Int32(MSG_NOSIGNAL))
            }
          }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return false }
        done += count
      }
      return true
    }
  }

  private func handler(of descriptor: Int32, id: UInt64) -> Handler? {
    state.withLock { state in
      guard let entry = state.entries[descriptor], entry.id == id else { return nil }
      return entry.handler
    }
  }

  fileprivate func run() {
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      // A descriptor that is closed and used anew while this waits has another number in `ids`, and is left alone.
      let watched = state.withLock { $0.entries.filter(\.value.isWatched).mapValues(\.id) }
      let descriptors = Array(watched.keys)
      var waiting = ([wakeReader] + descriptors).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      guard poll(&waiting, nfds_t(waiting.count), -1) > 0 else { continue }
      if waiting[0].revents != 0 { while Glibc.read(wakeReader, &buffer, buffer.count) > 0 {} }
      for entry in waiting.dropFirst() where entry.revents != 0 {
        if let id = watched[entry.fd] { read(entry.fd, id: id, &buffer) }
      }
    }
  }

  private func read(_ descriptor: Int32, id: UInt64, _ buffer: inout [UInt8]) {
    guard let handler = handler(of: descriptor, id: id) else { return }
    let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
    if count > 0 {
      handler(.bytes(Array(buffer[0..<count])))
    } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
      drop(descriptor, id: id)?(.closed)
    }
  }

  private struct Thread {
    let reactor: SocketReactor

    init(_ reactor: SocketReactor) { self.reactor = reactor }

    func start() -> Bool {
      var thread = pthread_t()
      var attributes = pthread_attr_t()
      pthread_attr_init(&attributes)
      pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
      pthread_attr_setstacksize(&attributes, 256 << 10)
      let context = Unmanaged.passRetained(reactor).toOpaque()
      let result = pthread_create(
        &thread, &attributes,
        { context in
          guard let context else { return nil }
          Unmanaged<SocketReactor>.fromOpaque(context).takeRetainedValue().run()
          return nil
        }, context)
      pthread_attr_destroy(&attributes)
      return result == 0
    }
  }
}

/// A connected socket of a reactor.
final class ReactorSocket: Sendable {
  private let descriptor: Int32
  private let id: UInt64
  private let reactor: SocketReactor

  fileprivate init(descriptor: Int32, id: UInt64, reactor: SocketReactor) {
    self.descriptor = descriptor
    self.id = id
    self.reactor = reactor
  }

  /// Begins to call the handler.
  func start() { reactor.watch(descriptor, id: id) }

  /// Sends all of the bytes; false when the peer does not read or is gone.
  ///
  /// - Parameter passed: a descriptor that goes with them; the caller keeps its own.
  func send(_ bytes: [UInt8], passing passed: Int32? = nil) -> Bool {
    reactor.send(bytes, passing: passed, to: descriptor, id: id)
  }

  /// Closes it; the handler hears `closed` unless it did already.
  func close() { reactor.drop(descriptor, id: id)?(.closed) }

  deinit { _ = reactor.drop(descriptor, id: id) }
}
