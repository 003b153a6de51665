import CLinux
import Glibc

/// What a unit reported: the protocol of sd_notify(3).
struct Notification: Sendable, Equatable {
  /// The process that sent it, as the kernel tells; 0 when it does not.
  var sender: Int32
  var isReady = false
  var isStopping = false
  /// A sign of life.
  var isAlive = false
  /// The unit asks to be treated as hung.
  var isHung = false
  var status: String?

  /// Reads `NAME=VALUE` lines; unknown names are skipped.
  init(_ text: String, sender: Int32) {
    self.sender = sender
    for line in text.split(separator: "\n") {
      switch line {
      case "READY=1": isReady = true
      case "STOPPING=1": isStopping = true
      case "WATCHDOG=1": isAlive = true
      case "WATCHDOG=trigger": isHung = true
      default:
        if line.hasPrefix("STATUS=") { status = String(line.dropFirst(7)) }
      }
    }
  }
}

/// The socket that NOTIFY_SOCKET names.
enum NotifySocket {
  /// Longest message; longer ones are cut.
  static let longestMessage = 4096

  /// Opens it at a path where nothing is.
  static func open(_ path: String) throws(LabError) -> Int32 {
    let descriptor = try UnixSocket.bind(path, type: SOCK_DGRAM)
    guard ftvs_pass_credentials(descriptor) == 0 else { throw .system("Cannot use \(path)") }
    return descriptor
  }

  /// The messages that wait, without waiting.
  static func receive(_ descriptor: Int32) -> [Notification] {
    var notifications: [Notification] = []
    var bytes = [UInt8](repeating: 0, count: longestMessage)
    while true {
      var sender: pid_t = 0
      let count = ftvs_receive_from_process(descriptor, &bytes, bytes.count, &sender)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { return notifications }
      notifications.append(Notification(String(decoding: bytes.prefix(count), as: UTF8.self), sender: sender))
    }
  }
}

/// Unix sockets of the lab.
enum UnixSocket {
  /// Connections that may wait: a failover must refuse nobody.
  static let backlog: Int32 = 4096

  /// A listening socket that everyone may connect to: who may do what is decided by the service behind it.
  static func listen(_ path: String) throws(LabError) -> Int32 {
    let descriptor = try bind(path, type: SOCK_STREAM)
    guard Glibc.listen(descriptor, backlog) == 0 else { throw .system("Cannot listen on \(path)") }
    return descriptor
  }

  /// A socket bound to a path, with a number that is safe to hand to children.
  static func bind(_ path: String, type: __socket_type) throws(LabError) -> Int32 {
    let low = socket(AF_UNIX, Int32(type.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard low >= 0 else { throw .system("Cannot make a socket") }
    defer { close(low) }
    let descriptor = fcntl(low, F_DUPFD_CLOEXEC, UnitProcess.firstSafe)
    guard descriptor >= 0 else { throw .system("Cannot make a socket") }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      close(descriptor)
      throw LabError(.directory, "The socket \(path) has a longer path than the 107 bytes that Linux allows.")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard bound == 0, chmod(path, 0o666) == 0 else {
      let code = errno
      close(descriptor)
      throw .system("Cannot make the socket \(path)", code)
    }
    return descriptor
  }
}
