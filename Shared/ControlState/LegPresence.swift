import Glibc
import Primitives

/// Which directory and which database file a leg's path leads to.
struct LegIdentity: Sendable, Hashable {
  var device: UInt64
  var directory: UInt64
  /// Inode of the database file; 0 while there is none.
  var file: UInt64
}

/// Whether a leg can be touched now, seen without opening anything on it.
enum LegPresence: Sendable, Hashable {
  /// Its module is shot: hands off.
  case shot
  /// Its directory is not there or not usable, with the reason.
  case absent(String)
  /// It is there; without an identity when the service's directory is still to be made.
  case present(LegIdentity?)

  /// Looks at a leg.
  static func look(directory: String?, shotMark: String?) -> LegPresence {
    guard let directory else { return .absent("no path to it is left") }
    if let shotMark, FileOperations.exists(shotMark) { return .shot }
    var facts = stat()
    guard stat(directory, &facts) == 0 else {
      let code = errno
      let parent = FileOperations.parent(of: directory)
      if code == ENOENT, isDirectory(parent) { return writable(parent) ?? .present(nil) }
      return .absent("\(directory): \(String(cString: strerror(code)))")
    }
    guard facts.st_mode & S_IFMT == S_IFDIR else { return .absent("\(directory) is not a directory") }
    if let problem = writable(directory) { return problem }
    var file = stat()
    let hasFile = stat(directory + "/" + LegDatabase.fileName, &file) == 0
    return .present(
      LegIdentity(
        device: UInt64(facts.st_dev), directory: UInt64(facts.st_ino), file: hasFile ? UInt64(file.st_ino) : 0))
  }

  private static func isDirectory(_ path: String) -> Bool {
    var facts = stat()
    return stat(path, &facts) == 0 && facts.st_mode & S_IFMT == S_IFDIR
  }

  /// A file system that went read-only after an error answers EROFS here, for root too.
  private static func writable(_ path: String) -> LegPresence? {
    guard access(path, W_OK | X_OK) != 0 else { return nil }
    return .absent("\(path) is not writable: \(String(cString: strerror(errno)))")
  }

  /// Why a leg that was open as `identity` is not what its path leads to any more, or nil when it still is.
  func complaint(about identity: LegIdentity) -> String? {
    switch self {
    case .shot: "its module is isolated (shot mark)"
    case .absent(let reason): reason
    case .present(identity): nil
    case .present(let other):
      other?.directory == identity.directory && other?.device == identity.device
        ? "its database file was removed or replaced" : "its directory was removed or replaced"
    }
  }
}
