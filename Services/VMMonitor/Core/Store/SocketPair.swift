import Glibc

/// Two connected sockets, one of which is passed to another process.
struct SocketPair: ~Copyable {
  let ours: Int32
  private(set) var theirs: Int32

  /// Nil where the system has no descriptors left.
  ///
  /// - Parameter patience: how long the other end may neither send nor take anything.
  init?(patience: Duration) {
    var ends: [Int32] = [-1, -1]
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { return nil }
    (ours, theirs) = (ends[0], ends[1])
    var time = timeval(tv_sec: Int(patience.components.seconds), tv_usec: 0)
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
      setsockopt(ours, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
    }
  }

  /// Closes our copy of the other end: its own alone then keeps the connection.
  mutating func letGo() {
    if theirs >= 0 { close(theirs) }
    theirs = -1
  }

  /// Ends the connection: whoever waits on either end is answered.
  func end() { shutdown(ours, Int32(SHUT_RDWR)) }

  deinit {
    if theirs >= 0 { close(theirs) }
    close(ours)
  }
}
