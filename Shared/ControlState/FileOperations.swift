import Glibc

/// A call on a file that failed.
struct FileError: Error, CustomStringConvertible {
  let operation: String
  let path: String
  let code: Int32

  var isFull: Bool { code == ENOSPC || code == EDQUOT }
  var description: String { "\(operation) \(path): \(String(cString: strerror(code)))" }
}

/// The few durable operations on files and directories that the state needs.
enum FileOperations {
  static func check(_ result: Int32, _ operation: String, _ path: String) throws(FileError) {
    if result != 0 { throw FileError(operation: operation, path: path, code: errno) }
  }

  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// Makes a directory; one that is there already is fine.
  static func makeDirectory(_ path: String) throws(FileError) {
    if mkdir(path, 0o750) != 0, errno != EEXIST { throw FileError(operation: "mkdir", path: path, code: errno) }
  }

  /// Makes a directory and those above it.
  static func makeDirectories(_ path: String) throws(FileError) {
    if path.isEmpty || exists(path) { return }
    try makeDirectories(parent(of: path))
    try makeDirectory(path)
  }

  /// The directory that holds this path.
  static func parent(of path: String) -> String {
    var trimmed = Substring(path)
    while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed = trimmed.dropLast() }
    guard let slash = trimmed.lastIndex(of: "/") else { return "." }
    return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
  }

  static func remove(_ path: String) throws(FileError) {
    if unlink(path) != 0, errno != ENOENT { throw FileError(operation: "remove", path: path, code: errno) }
  }

  static func rename(_ from: String, to path: String) throws(FileError) {
    try check(Glibc.rename(from, path), "rename", from)
  }

  /// Makes a file's content, or a directory's entries, durable.
  static func synchronize(_ path: String) throws(FileError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileError(operation: "open", path: path, code: errno) }
    defer { close(descriptor) }
    try check(fsync(descriptor), "fsync", path)
  }

  /// Replaces a file by these bytes: after a crash it holds the old or the new ones, and durably the new ones when
  /// this returns.
  static func replace(_ path: String, with bytes: [UInt8]) throws(FileError) {
    let directory = parent(of: path)
    try makeDirectories(directory)
    let temporary = path + ".new"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
    guard descriptor >= 0 else { throw FileError(operation: "open", path: temporary, code: errno) }
    try writeDurably(bytes, to: descriptor, temporary)
    try rename(temporary, to: path)
    try synchronize(directory)
  }

  private static func writeDurably(_ bytes: [UInt8], to descriptor: Int32, _ path: String) throws(FileError) {
    defer { close(descriptor) }
    try writeAll(bytes[...], at: 0, to: descriptor, path)
    try check(fsync(descriptor), "fsync", path)
  }

  /// Writes bytes at a place in a file, which is made where it is missing. They are not durable yet.
  static func write(_ bytes: ArraySlice<UInt8>, at offset: Int, to path: String) throws(FileError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o640)
    guard descriptor >= 0 else { throw FileError(operation: "open", path: path, code: errno) }
    defer { close(descriptor) }
    try writeAll(bytes, at: offset, to: descriptor, path)
  }

  private static func writeAll(
    _ bytes: ArraySlice<UInt8>, at offset: Int, to descriptor: Int32, _ path: String
  ) throws(FileError) {
    var rest = bytes
    var at = offset
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, off_t(at)) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw FileError(operation: "write", path: path, code: count == 0 ? ENOSPC : errno) }
      rest = rest.dropFirst(count)
      at += count
    }
  }

  /// The bytes of a file of at most `limit` bytes, or nil when there is none.
  static func read(_ path: String, limit: Int) throws(FileError) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      throw FileError(operation: "open", path: path, code: errno)
    }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: limit)
    var filled = 0
    while filled < limit {
      let count = bytes.withUnsafeMutableBytes { buffer in
        Glibc.read(descriptor, buffer.baseAddress?.advanced(by: filled), limit - filled)
      }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw FileError(operation: "read", path: path, code: errno) }
      if count == 0 { break }
      filled += count
    }
    return Array(bytes.prefix(filled))
  }
}
