import Glibc

/// The few file operations of the monitor. All block.
enum FileSystem {
  /// Why a file could not be written or read.
  struct Failure: Error, Sendable, Equatable, CustomStringConvertible {
    var path: String
    var code: Int32
    var description: String { "\(path): \(String(cString: strerror(code)))" }
  }

  /// Replaces a file as a whole: whoever opens it sees the old or the new one. With `durable`, the new one survives a
  /// power cut when this returns.
  static func replace(_ path: String, with bytes: [UInt8], mode: mode_t, durable: Bool) throws(Failure) {
    let temporary = "\(path).new"
    unlink(temporary)
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
    guard descriptor >= 0 else { throw Failure(path: temporary, code: errno) }
    defer { close(descriptor) }
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress?.advanced(by: done), $0.count - done) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw Failure(path: temporary, code: errno) }
      done += count
    }
    guard fchmod(descriptor, mode) == 0 else { throw Failure(path: temporary, code: errno) }
    guard !durable || fsync(descriptor) == 0 else { throw Failure(path: temporary, code: errno) }
    guard rename(temporary, path) == 0 else { throw Failure(path: path, code: errno) }
    if durable { try sync(directory: parent(of: path)) }
  }

  /// The file's bytes, or nil when there is none or it has more than `limit`.
  static func read(_ path: String, limit: Int) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: limit + 1)
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeMutableBytes {
        Glibc.read(descriptor, $0.baseAddress?.advanced(by: done), $0.count - done)
      }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { return nil }
      if count == 0 { return Array(bytes[..<done]) }
      done += count
    }
    return nil
  }

  /// Makes a directory and those above it.
  static func makeDirectory(_ path: String, mode: mode_t) throws(Failure) {
    if mkdir(path, mode) == 0 || errno == EEXIST { return }
    guard errno == ENOENT, path.contains("/") else { throw Failure(path: path, code: errno) }
    try makeDirectory(parent(of: path), mode: mode)
    guard mkdir(path, mode) == 0 || errno == EEXIST else { throw Failure(path: path, code: errno) }
  }

  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// The names in a directory; none when it cannot be read.
  static func names(in directory: String) -> [String] {
    guard let stream = opendir(directory) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  static func sync(directory: String) throws(Failure) {
    let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Failure(path: directory, code: errno) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw Failure(path: directory, code: errno) }
  }

  static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return "/" }
    return String(path[..<slash])
  }
}
