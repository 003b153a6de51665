import FoundationEssentials
import Glibc
import HostConfiguration
import Primitives
import RPC

/// What a lab holds while it runs.
struct LabDirectory: Sendable {
  let paths: LabPaths
  /// Held, with its lock, until the process ends.
  let lock: Int32
  /// The services' sockets, by the name under which they are handed on.
  let listeners: [String: Int32]
  let notifySocket: Int32
  /// The lab's own socket.
  let labListener: Int32

  /// Takes a directory: makes what is missing, cleans up after a lab that was killed, opens the sockets. What is on the
  /// legs stays.
  static func open(_ configuration: LabConfiguration) throws(LabError) -> LabDirectory {
    let paths = LabPaths(directory: configuration.directory)
    try check(configuration)
    try make(paths.directory)
    let lock = try takeLock(paths)
    do throws(LabError) {
      LeftBehind.end(recordedAt: paths.processes)
      try clearRun(paths)
      try makeDirectories(paths)
      try writeConfiguration(configuration)
      var listeners: [String: Int32] = [:]
      for service in ServiceName.allCases {
        listeners[service.rawValue] = try UnixSocket.listen(paths.host.socket(service))
      }
      listeners["nbd"] = try UnixSocket.listen(paths.host.nbdSocket)
      return LabDirectory(
        paths: paths, lock: lock, listeners: listeners, notifySocket: try NotifySocket.open(paths.notify),
        labListener: try UnixSocket.listen(paths.socket))
    } catch {
      Glibc.close(lock)
      throw error
    }
  }

  /// Lets go of everything, the lock last.
  func close() {
    unlink(paths.processes)
    for descriptor in listeners.values { Glibc.close(descriptor) }
    Glibc.close(notifySocket)
    for name in listeners.keys { unlink("\(paths.run)/\(name).sock") }
    unlink(paths.notify)
    unlink(paths.socket)
    Glibc.close(lock)
  }

  /// Whether a lab runs there.
  static func isLocked(_ paths: LabPaths) -> Bool {
    let descriptor = Glibc.open(paths.lock, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { Glibc.close(descriptor) }
    return flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
  }

  private static func check(_ configuration: LabConfiguration) throws(LabError) {
    let directory = configuration.directory
    guard directory.hasPrefix("/") else {
      throw LabError(.directory, "The lab's directory \(directory) is not an absolute path.")
    }
    guard directory.utf8.count <= LabPaths.longestDirectory else {
      throw LabError(
        .directory,
        """
        The lab's directory \(directory) has \(directory.utf8.count) bytes, and Unix sockets inside it leave room for \
        \(LabPaths.longestDirectory): choose a shorter path with --directory.
        """)
    }
    for program in Set(UnitName.standing.map(\.program)).union(["ftvs-guest"]).sorted() {
      let path = "\(configuration.binaries)/\(program)"
      guard access(path, X_OK) == 0 else {
        throw LabError(
          .programMissing,
          "The program \(path) is missing: build it with swift build, or set FTVS_BINARIES to where it is.")
      }
    }
  }

  private static func takeLock(_ paths: LabPaths) throws(LabError) -> Int32 {
    let isNew = access(paths.lock, F_OK) != 0
    if isNew && access(paths.run, F_OK) == 0 {
      throw LabError(
        .directory,
        "\(paths.directory) has a directory run that no lab made: choose another directory with --directory.")
    }
    let lock = Glibc.open(paths.lock, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard lock >= 0 else { throw .system("Cannot open \(paths.lock)") }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      Glibc.close(lock)
      if code == EWOULDBLOCK {
        throw LabError(
          .running,
          "A lab runs in \(paths.directory) already: ftctl lab status shows it, ftctl lab down ends it.")
      }
      throw .system("Cannot lock \(paths.lock)", code)
    }
    return lock
  }

  /// Removes what a reboot would: sockets, leases, marks.
  private static func clearRun(_ paths: LabPaths) throws(LabError) {
    guard access(paths.run, F_OK) == 0 else { return }
    do { try FileManager.default.removeItem(atPath: paths.run) } catch {
      throw LabError(.directory, "Cannot remove \(paths.run): \(error).")
    }
  }

  private static func makeDirectories(_ paths: LabPaths) throws(LabError) {
    let host = paths.host
    for directory in [
      paths.run, "\(paths.run)/lease", "\(paths.run)/shot", "\(paths.run)/guest", "\(paths.directory)/legs",
      "\(paths.directory)/legs/io0", "\(paths.directory)/legs/io1", host.local, paths.log,
    ] {
      try make(directory)
    }
    for slot in 0...UnitName.lastSlot { try make(host.guest(slot: slot)) }
  }

  private static func make(_ directory: String) throws(LabError) {
    do { try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true) } catch {
      throw LabError(.directory, "Cannot make the directory \(directory): \(error).")
    }
  }

  /// Silence of a module's agent that counts as failure, in milliseconds. Longer than a host's: a lab has no priority
  /// over what else runs on its machine, and a busy one would fail its modules again and again.
  private static let heartbeatBoundMilliseconds = 1000

  /// Writes where this lab is into its configuration; what else somebody wrote there stays.
  private static func writeConfiguration(_ lab: LabConfiguration) throws(LabError) {
    let paths = LabPaths(directory: lab.directory)
    var configuration = HostConfiguration()
    if let text = TextFile.read(paths.configuration) {
      do {
        configuration = try WireCoder.decode(
          HostConfiguration.self, from: try JSON.parse(text), unknownMembers: .refuse, name: "host.json")
      } catch {
        throw LabError(.directory, "\(paths.configuration) cannot be read: \(error). Correct or remove it.")
      }
    }
    paths.apply(to: &configuration)
    configuration.heartbeatBoundMilliseconds =
      lab.heartbeatBoundMilliseconds ?? configuration.heartbeatBoundMilliseconds ?? heartbeatBoundMilliseconds
    let text: String
    do throws(RPCError) {
      text = JSON.indented(try WireCoder.encode(configuration))
    } catch {
      throw LabError(.directory, "Cannot write \(paths.configuration): \(error).")
    }
    try TextFile.write(text + "\n", to: paths.configuration)
  }
}
