import Glibc

/// The monotonic clock, in nanoseconds.
enum Clock {
  static var now: UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}

/// Unix sockets of a client.
enum ClientSocket {
  /// A connected, non-blocking socket; -1 with `errno` set otherwise.
  static func connect(_ path: String) -> Int32 {
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let descriptor = socket(AF_UNIX, kind, 0)
    guard descriptor >= 0 else { return -1 }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard result == 0 else {
      let code = errno
      close(descriptor)
      errno = code
      return -1
    }
    return descriptor
  }

  /// Sends all of a small message; false when the peer is gone.
  static func send(_ descriptor: Int32, _ bytes: [UInt8]) -> Bool {
    Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
  }
}

/// Frames out of a stream: a 4-byte big-endian length, then that many bytes.
struct FrameBuffer {
  enum Outcome {
    case frames([[UInt8]])
    case nothing
    case ended
  }

  private var bytes: [UInt8] = []

  mutating func read(_ descriptor: Int32) -> Outcome {
    var chunk = [UInt8](repeating: 0, count: 4096)
    let count = recv(descriptor, &chunk, chunk.count, 0)
    if count < 0, errno == EAGAIN || errno == EINTR { return .nothing }
    guard count > 0 else { return .ended }
    bytes += chunk[0..<count]
    var frames: [[UInt8]] = []
    var start = 0
    while bytes.count - start >= 4 {
      let length = bytes[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
      guard bytes.count - start - 4 >= length else { break }
      frames.append(Array(bytes[start + 4..<start + 4 + length]))
      start += 4 + length
    }
    bytes.removeFirst(start)
    return frames.isEmpty ? .nothing : .frames(frames)
  }

  static func frame(_ body: [UInt8]) -> [UInt8] {
    let count = UInt32(body.count)
    return [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: count >> $0) } + body
  }
}
