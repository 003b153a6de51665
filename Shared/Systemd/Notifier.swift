import Glibc

/// Tells the service manager how this process is doing: the protocol of sd_notify(3).
///
/// It is spoken here rather than by libsystemd, whose call finds the socket in the environment each time; this one takes the variables
/// out once, so that no child can speak for the service.
public struct Notifier: Sendable {
  /// One thing to tell.
  public enum Message: Sendable, Equatable {
    /// Start-up, or the reload that was announced, is finished.
    case ready
    /// The configuration is being read again, since this time of `CLOCK_MONOTONIC`, in microseconds.
    case reloading(monotonicMicroseconds: UInt64)
    /// The process is about to end.
    case stopping
    /// The process lives: the watchdog starts counting anew.
    case watchdog
    /// One line for `systemctl status`.
    case status(String)

    var text: String {
      switch self {
      case .ready: "READY=1"
      case .reloading(let time): "RELOADING=1\nMONOTONIC_USEC=\(time)"
      case .stopping: "STOPPING=1"
      case .watchdog: "WATCHDOG=1"
      case .status(let line): "STATUS=" + line.replacing("\n", with: " ")
      }
    }
  }

  /// What the manager may miss: it comes again, or is for people. Nothing waits for a manager that is busy for its sake.
  private static func isDispensable(_ message: Message) -> Bool {
    switch message {
    case .watchdog, .status: true
    case .ready, .reloading, .stopping: false
    }
  }

  private let path: String?
  /// The time within which the manager wants to hear `watchdog`; nil when it does not watch this process.
  public let watchdogInterval: Duration?

  /// The manager of this process. `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` are removed from the environment.
  public static func take() -> Notifier {
    var environment: [String: String] = [:]
    for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
      environment[variable] = getenv(variable).map { String(cString: $0) }
      unsetenv(variable)
    }
    return Notifier(environment: environment, processID: getpid())
  }

  /// The manager that these variables tell of; without one, nothing is sent.
  public init(environment: [String: String], processID: Int32) {
    path = environment["NOTIFY_SOCKET"].flatMap { $0.hasPrefix("/") || $0.hasPrefix("@") ? $0 : nil }
    let isMeant = environment["WATCHDOG_PID"].map { Int32($0) == processID } ?? true
    let microseconds = environment["WATCHDOG_USEC"].flatMap { Int64($0) } ?? 0
    watchdogInterval = isMeant && microseconds > 0 ? .microseconds(microseconds) : nil
  }

  /// Whether somebody is told at all.
  public var hasManager: Bool { path != nil }

  /// Sends messages as one datagram. False when the manager was not reached, which nobody can mend: the watchdog will.
  @discardableResult
  public func send(_ messages: Message...) -> Bool {
    guard let path else { return false }
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    guard let (address, length) = Self.address(path) else { return false }
    let isDispensable = messages.allSatisfy(Self.isDispensable)
    var patience = timeval(tv_sec: 1, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    let flags = Int32(MSG_NOSIGNAL) | (isDispensable ? Int32(MSG_DONTWAIT) : 0)
    let text = Array(messages.map(\.text).joined(separator: "\n").utf8)
    return withUnsafePointer(to: address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        sendto(descriptor, text, text.count, flags, address, length) == text.count
      }
    }
  }

  /// The time now, as `reloading` wants it.
  public static var monotonicMicroseconds: UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(max(0, time.tv_sec)) * 1_000_000 + UInt64(max(0, time.tv_nsec)) / 1_000
  }

  /// A path, or with a leading `@` a name in the abstract namespace.
  private static func address(_ path: String) -> (sockaddr_un, socklen_t)? {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var bytes = Array(path.utf8)
    let isAbstract = bytes.first == UInt8(ascii: "@")
    if isAbstract { bytes[0] = 0 }
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let header = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2
    return (address, socklen_t(header + bytes.count + (isAbstract ? 0 : 1)))
  }
}
