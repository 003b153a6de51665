import CSystemd
import Glibc

/// The listening sockets that systemd, or the lab, opened for this process: sd_listen_fds(3).
///
/// They are found by name, for they do not arrive in the order of `Sockets=`.
public enum SocketActivation {
  /// The first descriptor that is passed.
  public static let firstDescriptor: Int32 = 3

  /// The sockets of this process by name. Each is a listening Unix stream socket and is closed on exec from now on. The
  /// environment variables are removed, so that no child takes them for its own.
  ///
  /// Call it once, before any descriptor is opened and any thread started.
  public static func take(requiring names: [String]) throws(ActivationError) -> [String: Int32] {
    var environment: [String: String] = [:]
    for variable in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
      environment[variable] = getenv(variable).map { String(cString: $0) }
      unsetenv(variable)
    }
    return try sockets(
      environment: environment, processID: getpid(), firstDescriptor: firstDescriptor, requiring: names)
  }

  /// The sockets that these variables tell of.
  public static func sockets(
    environment: [String: String], processID: Int32, firstDescriptor: Int32, requiring names: [String]
  ) throws(ActivationError) -> [String: Int32] {
    let passed = try passedNames(environment: environment, processID: processID)
    var sockets: [String: Int32] = [:]
    for (index, name) in passed.enumerated() {
      let descriptor = firstDescriptor + Int32(index)
      let flags = fcntl(descriptor, F_GETFD)
      guard flags >= 0, fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC) == 0 else { throw .notOpen(name: name) }
      guard sd_is_socket_unix(descriptor, Int32(SOCK_STREAM.rawValue), 1, nil, 0) > 0 else {
        throw .notListening(name: name)
      }
      guard sockets.updateValue(descriptor, forKey: name) == nil else { throw .twice(name: name) }
    }
    for name in names where sockets[name] == nil { throw .missing(name: name, passed: passed) }
    return sockets
  }

  /// The names of the descriptors that were passed to this process, in their order.
  private static func passedNames(
    environment: [String: String], processID: Int32
  ) throws(ActivationError) -> [String] {
    guard let recipient = environment["LISTEN_PID"], let count = environment["LISTEN_FDS"] else { return [] }
    guard let recipient = Int32(recipient), let count = Int(count), (0...maximumCount).contains(count) else {
      throw .malformed
    }
    // Meant for another process whose environment was inherited.
    guard recipient == processID else { return [] }
    let names = (environment["LISTEN_FDNAMES"] ?? "").split(separator: ":", omittingEmptySubsequences: false)
    guard count == names.count || (count == 0 && names == [""]) else { throw .malformed }
    return count == 0 ? [] : names.map(String.init)
  }

  /// More descriptors than any unit of this host has.
  private static let maximumCount = 64
}

/// Why the sockets of a service could not be taken over.
public enum ActivationError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The environment variables contradict each other.
  case malformed
  /// A descriptor that was announced is not open.
  case notOpen(name: String)
  /// A descriptor is not a listening Unix stream socket.
  case notListening(name: String)
  /// Two descriptors have one name.
  case twice(name: String)
  /// A socket that the service needs was not passed.
  case missing(name: String, passed: [String])

  public var description: String {
    switch self {
    case .malformed:
      "LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES contradict each other; start the service by systemd or 'ftctl lab up'."
    case .notOpen(let name): "The socket \"\(name)\" was announced but is not open; restart the service's unit."
    case .notListening(let name):
      "\"\(name)\" is not a listening Unix stream socket; give ftvs-\(name).socket a ListenStream= with a path."
    case .twice(let name): "Two sockets are named \"\(name)\"; give each socket unit its own FileDescriptorName=."
    case .missing(let name, let passed):
      "The listening socket \"\(name)\" was not passed (passed: "
        + "\(passed.isEmpty ? "none" : passed.joined(separator: ", "))). Start the service through its socket: "
        + "'systemctl start ftvs-\(name).socket', or try it out with 'ftctl lab up'."
    }
  }
}
