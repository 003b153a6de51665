import CLinux
import Glibc

/// What came of accepting: a connection, none that waits, no descriptor or memory left for one, or an error number.
package enum Accepted: Sendable { case connection(Int32), nothing, exhausted, failed(Int32) }

/// System calls on sockets, retried when a signal interrupts them.
package enum UnixSocket {
  /// Nanoseconds of the monotonic clock.
  static func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// Bytes sent, 0 when the socket takes none now, -1 when the connection is broken. Never raises SIGPIPE.
  static func send(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    while true {
      let count = Glibc.send(
        descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
      if count >= 0 { return count }
      switch errno {
      case EINTR: continue
      case EAGAIN, ENOBUFS, ENOMEM: return 0
      default: return -1
      }
    }
  }

  enum Received { case bytes(Int), nothing, end, broken }

  static func receive(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Received {
    while true {
      let count = Glibc.recv(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
      if count > 0 { return .bytes(count) }
      if count == 0 { return .end }
      switch errno {
      case EINTR: continue
      case EAGAIN: return .nothing
      default: return .broken
      }
    }
  }

  static func accept(_ listener: Int32) -> Accepted {
    while true {
      let descriptor = ftvs_accept(listener)
      if descriptor >= 0 { return .connection(descriptor) }
      switch errno {
      case EINTR, ECONNABORTED, EPROTO: continue
      case EAGAIN: return .nothing
      case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted
      default: return .failed(errno)
      }
    }
  }

  /// A listening socket at a path that is not there yet; nil with `errno` set when the kernel refuses.
  package static func listen(_ path: String) -> Int32? {
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let descriptor = socket(AF_UNIX, kind, 0)
    guard descriptor >= 0 else { return nil }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    let fits = bytes.count < MemoryLayout.size(ofValue: address.sun_path)
    if fits { withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) } }
    let isBound =
      fits
      && withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
        }
      }
    if isBound, Glibc.listen(descriptor, 16) == 0 { return descriptor }
    let code = fits ? errno : ENAMETOOLONG
    close(descriptor)
    errno = code
    return nil
  }

  static func setNonBlocking(_ descriptor: Int32) {
    let flags = fcntl(descriptor, F_GETFL)
    if flags >= 0, flags & O_NONBLOCK == 0 { _ = fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) }
  }

  /// A pair of connected sockets, or nil when the process is out of descriptors.
  static func pair() -> (Int32, Int32)? {
    var descriptors: [Int32] = [-1, -1]
    let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    guard socketpair(AF_UNIX, type, 0, &descriptors) == 0 else { return nil }
    return (descriptors[0], descriptors[1])
  }

  enum Connected { case connection(Int32), full, failed(Int32), pathTooLong }

  /// Connects once, without waiting for room in the backlog.
  static func connect(_ path: String) -> Connected {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    let room = MemoryLayout.size(ofValue: address.sun_path)
    guard bytes.count < room, !bytes.isEmpty else { return .pathTooLong }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return .failed(errno) }
    while true {
      let result = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      if result == 0 || errno == EISCONN { return .connection(descriptor) }
      let error = errno
      if error == EINTR { continue }
      close(descriptor)
      return error == EAGAIN ? .full : .failed(error)
    }
  }
}
